"""The pages in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from errpath.nightly.publish import gather, render, write_index
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.records import KernelRecord
from suites.selftest.results.data import KERNEL, add_run

# No network, no first-run talk, nothing of a user's profile.
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# The page in a frame of the wanted width; the frame's own sizes end up in the title.
_FRAME = """<!DOCTYPE html><title>none</title>
<iframe id="f" style="border:0;width:{width}px;height:800px" srcdoc="{page}"></iframe>
<script>
document.getElementById("f").addEventListener("load", function () {{
  const d = this.contentDocument, e = d.documentElement;
  const small = [...d.querySelectorAll("a, summary")].filter(
    (x) => x.getBoundingClientRect().height < 14).length;
  document.title = [e.scrollWidth, e.clientWidth, d.querySelectorAll("h2").length, small].join();
}});
</script>"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    if shutil.which("chromium") is None:
        pytest.skip("no chromium (Debian package chromium)")
    root = tmp_path_factory.mktemp("pages")
    with History(root / "history.sqlite") as history:
        for night in range(40):
            add_run(history, f"n{night:02d}", "P" * 60, started=100.0 * night)
        kernel = KernelRecord(**{**KERNEL.__dict__, "state": "beef"})
        row = add_run(history, "n40", ["FE" * 30, "F" * 60, "F" * 60], started=5e3, kernel=kernel)
        cases = judge_run(history, row)
        history.add_judgements(row, {(c.track, c.case): c.judgement for c in cases})
        run = render(gather(history, row, cases), "html")
        index = write_index(history, root).read_text()
    return {"run": run, "index": index}


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", ["run", "index"])
def test_nothing_sticks_out(pages: dict[str, str], tmp_path: Path, name: str, width: int) -> None:
    path = tmp_path / "frame.html"
    path.write_text(_FRAME.format(width=width, page=html.escape(pages[name])))
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    argv = ["chromium", *_FLAGS, profile, "--window-size=1400,900", "--dump-dom", f"file://{path}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"<title>(\d+),(\d+),(\d+),(\d+)</title>", done.stdout)
    assert found is not None, done.stdout[:500]
    scroll, client, headings, small = map(int, found.groups())
    assert client <= width
    assert scroll <= client, "the page scrolls sideways"
    assert headings >= 1
    assert small == 0, "what is touched must not be tiny"
