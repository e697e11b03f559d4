"""Pages and pictures in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from errpath.nightly.publish import gather, render, write_index
from errpath.oracles.timeline import Holder, Place, Timeline
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.records import KernelRecord
from errpath.results.reports.lifetime_svg import lifetime_svg
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

# What the picture's words look like: how far they reach, how low the lowest line of them is.
_WORDS = """<!DOCTYPE html><title>none</title>
<iframe id="f" style="border:0;width:{width}px;height:800px" srcdoc="{page}"></iframe>
<script>
document.getElementById("f").addEventListener("load", function () {{
  const d = this.contentDocument, box = d.querySelector("svg").getBoundingClientRect();
  const words = [...d.querySelectorAll("text")].map((x) => x.getBoundingClientRect());
  document.title = [words.length, Math.ceil(Math.max(...words.map((x) => x.right)) - box.right),
    Math.floor(Math.min(...words.map((x) => x.height))), Math.ceil(box.right)].join();
}});
</script>"""
_LONG = "jfs_a_function_with_a_long_name(sbi->some_member->another_member, sizeof(struct thing));"


def _browser(tmp_path: Path, page: str) -> str:
    """A page's title once its scripts have run."""
    path = tmp_path / "frame.html"
    path.write_text(page)
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    argv = ["chromium", *_FLAGS, profile, "--window-size=1400,900", "--dump-dom", f"file://{path}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"<title>([\d,-]+)</title>", done.stdout)
    assert found is not None, done.stdout[:500]
    return found[1]


def _timeline() -> Timeline:
    """What a context had handed to a superblock, with words as long as they come."""
    place = Place("a_function_with_a_rather_long_name", "fs/directory/file_of_it.c", 1234, _LONG)
    first = Holder("fc->s_fs_info", 1, place, place, began=1, ended=3)
    second = Holder("s->s_fs_info", 2, place, place, freed=True, began=2, ended=4)
    return Timeline(1, 512, place, (first, second))


@pytest.mark.parametrize("width", [1280, 360])
def test_the_picture_of_a_loss_is_readable(tmp_path: Path, width: int) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("no chromium (Debian package chromium)")
    body = f'<!DOCTYPE html><body style="margin:0">{lifetime_svg(_timeline())}</body>'
    page = _WORDS.format(width=width, page=html.escape(body))
    count, beyond, height, right = map(int, _browser(tmp_path, page).split(","))
    assert count >= 10
    assert right <= width
    assert beyond <= 0, "words are cut off"
    # Pixels: what a phone's own small print has.
    assert height >= 10


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
    page = _FRAME.format(width=width, page=html.escape(pages[name]))
    scroll, client, headings, small = map(int, _browser(tmp_path, page).split(","))
    assert client <= width
    assert scroll <= client, "the page scrolls sideways"
    assert headings >= 1
    assert small == 0, "what is touched must not be tiny"
