"""A report's own configuration: what is taken of it, what becomes otherwise, how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import UsageError
from errpath.intake.config_file import read_config
from errpath.intake.report_config import differences, estimate, report_fragment, summary
from errpath.kernel import KernelRequest
from errpath.kernel.build.kconfig import load_requested, parse_config
from errpath.runner.options import Choice
from errpath.runner.testbed import TestbedOptions

_REPORT = """\
#
# Automatically generated file; DO NOT EDIT.
#
CONFIG_CC_IS_GCC=y
CONFIG_HFS_FS=y
CONFIG_JFS_POSIX_ACL=y
CONFIG_DRM=y
CONFIG_USB=m
CONFIG_KASAN=y
# CONFIG_MEMCG is not set
CONFIG_NR_CPUS=8
CONFIG_CMDLINE="panic_on_warn=1 root=/dev/sda"
CONFIG_PANIC_ON_OOPS=y
"""


def test_lines_are_wishes_and_modules_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "report.config"
    path.write_text(report_fragment(_REPORT, "c", lean=False))
    requested = load_requested((path,), ())
    assert set(requested.values) == {
        f"CONFIG_{name}" for name in ("HFS_FS", "JFS_POSIX_ACL", "DRM", "KASAN", "MEMCG", "NR_CPUS")
    }
    assert set(requested.wishes) == set(requested.values)
    assert requested.values["CONFIG_MEMCG"] == "n"


def test_lean_takes_filesystems_memory_and_checks() -> None:
    values = parse_config(report_fragment(_REPORT, "c", lean=True))
    assert "CONFIG_DRM" not in values
    assert {"CONFIG_HFS_FS", "CONFIG_JFS_POSIX_ACL", "CONFIG_KASAN", "CONFIG_MEMCG"} <= set(values)


@pytest.mark.parametrize("text", ["", "hello\n", "\0\x01" * 50])
def test_no_configuration(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_text(text)
    with pytest.raises(UsageError, match="expected a kernel's"):
        read_config(path, lean=False)
    with pytest.raises(UsageError, match="No such file"):
        read_config(tmp_path / "none", lean=False)


def test_each_difference_has_its_reason(tmp_path: Path) -> None:
    own = tmp_path / "own.config"
    own.write_text("CONFIG_HFS_FS=m\nCONFIG_DEBUG_KMEMLEAK=y\n")
    requested = load_requested((own,), ())
    final = {
        "CONFIG_HFS_FS": "m",
        "CONFIG_DEBUG_KMEMLEAK": "y",
        "CONFIG_JFS_POSIX_ACL": "y",
        "CONFIG_KASAN": "n",
        "CONFIG_NR_CPUS": "8",
    }
    found = list(differences(parse_config(_REPORT), final, requested, lean=False))
    assert list(map(str, found)) == [
        "HFS_FS: y in the report, m here: errpath's own (own.config:1)",
        "DRM: y in the report, n here: what it depends on is not there, or this kernel has no such "
        "option",
        "USB: m in the report, n here: no module of it is loaded in a guest",
        "KASAN: y in the report, n here: another option asks for it",
        'CMDLINE: "panic_on_warn=1 root=/dev/sda" in the report, n here: of the guest, which is '
        "errpath's",
        "PANIC_ON_OOPS: y in the report, n here: of the guest, which is errpath's",
        "DEBUG_KMEMLEAK: n in the report, y here: errpath's own (own.config:2)",
    ]
    lean = list(differences(parse_config(_REPORT), final, requested, lean=True))
    assert [one.symbol for one in lean] == [
        "CONFIG_HFS_FS",
        "CONFIG_KASAN",
        "CONFIG_DEBUG_KMEMLEAK",
    ]
    assert summary(found, 2)[-1] == "and 5 more"
    assert len(summary(found, 7)) == 7


def test_the_estimate_grows_with_the_configuration() -> None:
    small, large = "CONFIG_A=y\n", "".join(f"CONFIG_A{n}=y\n" for n in range(6600))
    assert estimate(small, 2, whole=False) == estimate(small, 2, whole=True) == 6.5
    assert estimate(large, 2, whole=True) == 65.0
    assert estimate(large + "CONFIG_KASAN=y\n", 1, whole=True) > 250


def test_a_choice_gets_the_reports_lines_below_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "kernel.config"
    path.write_text(_REPORT)
    choice = Choice("k", TestbedOptions(KernelRequest(), "repro"), ())
    own = choice.testbed.kernel.fragments
    lean = read_config(path, lean=True)
    whole = read_config(path, lean=False)
    first, *rest = lean.applied(choice).testbed.kernel.fragments
    assert tuple(rest) == own
    requested = load_requested((first, *rest), ())
    # errpath loads filesystems as modules, whatever the report has.
    assert requested.values["CONFIG_HFS_FS"] == "m"
    assert requested.values["CONFIG_KASAN"] == "y"
    # KASAN takes time, and a guest that was chosen by hand stays.
    assert lean.applied(choice).testbed.guest == "repro-kasan"
    by_hand = Choice("k", TestbedOptions(KernelRequest(), "microvm"), ())
    assert lean.applied(by_hand).testbed.guest == "microvm"
    assert "lean.config" not in {
        file.name for file in whole.applied(choice).testbed.kernel.fragments
    }
    assert "about" in whole.announcement
    assert "--lean takes less" in whole.announcement
    assert "--lean" not in lean.announcement
