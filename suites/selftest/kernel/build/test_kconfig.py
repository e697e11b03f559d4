"""Configuration: what was asked for, and what became of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from errpath.errors import ConfigError, UsageError
from errpath.kernel.build.kbuild import shortened
from errpath.kernel.build.kconfig import (
    DEFAULT_FRAGMENTS,
    load_requested,
    lost_lines,
    parse_config,
    parse_requested,
    verify,
)


def _fragment(directory: Path, text: str) -> Path:
    path = directory / "some.config"
    path.write_text(text)
    return path


def test_parse_knows_values_and_not_set() -> None:
    text = '# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C="x y"\n# a remark\n\nCONFIG_D=16\n'
    assert parse_config(text) == {
        "CONFIG_A": "n",
        "CONFIG_B": "y",
        "CONFIG_C": '"x y"',
        "CONFIG_D": "16",
    }


def test_later_lines_win(tmp_path: Path) -> None:
    requested = load_requested([_fragment(tmp_path, "CONFIG_A=y\nCONFIG_A=m\n")], ["CONFIG_B=y"])
    assert dict(requested.values) == {"CONFIG_A": "m", "CONFIG_B": "y"}
    assert requested.origins["CONFIG_A"] == "some.config:2"
    assert load_requested([], ["A=y"]).values == {"CONFIG_A": "y"}


@pytest.mark.parametrize("line", ["CONFIG_A", "A y", "# nothing", ""])
def test_line_that_says_nothing_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="expected CONFIG_NAME=value"):
        load_requested([], [line])


def test_bad_fragment_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"some\.config:2: 'CONFIG_A: y'"):
        load_requested([_fragment(tmp_path, "\nCONFIG_A: y\n")], [])


def test_missing_fragment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.config: cannot be read"):
        load_requested([tmp_path / "none.config"], [])


def test_lost_lines_both_ways(tmp_path: Path) -> None:
    text = "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n# CONFIG_D is not set\nCONFIG_E=y\n"
    requested = load_requested([_fragment(tmp_path, text)], [])
    final = parse_config("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n# CONFIG_E is not set\n")
    assert lost_lines(requested, final) == {
        "CONFIG_B": "y",
        "CONFIG_C": "y",
        "CONFIG_E": "not set",
    }


def test_every_lost_line_is_named_with_what_it_is(tmp_path: Path) -> None:
    requested = load_requested([_fragment(tmp_path, "CONFIG_A=y\n# CONFIG_B is not set\n")], [])
    with pytest.raises(ConfigError) as caught:
        verify(requested, {"CONFIG_B": "y"}, known=["CONFIG_B"])
    assert "CONFIG_A=y (some.config:1) is absent, unknown to this kernel" in str(caught.value)
    assert "# CONFIG_B is not set (some.config:2) is y" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_needed_module_is_not_dispensable(tmp_path: Path) -> None:
    requested = load_requested([_fragment(tmp_path, "CONFIG_NEW_FS=m\n")], [])
    for known in ([], ["CONFIG_NEW_FS"]):
        with pytest.raises(ConfigError, match="NEW_FS"):
            verify(requested, {}, known=known)


def test_line_that_only_some_versions_have(tmp_path: Path) -> None:
    text = "# need if known\nCONFIG_OLD=y\n# need\nCONFIG_A=y\n"
    requested = load_requested([_fragment(tmp_path, text)], [])
    again = parse_requested(requested.text)
    assert again.values == requested.values
    assert again.optional == {"CONFIG_OLD"}
    assert again.key == requested.key
    for each in (requested, again):
        (spared,) = verify(each, {"CONFIG_A": "y"}, known=[])
        assert str(spared) == "OLD (no such option)"
        with pytest.raises(ConfigError, match="CONFIG_OLD=y"):
            verify(each, {"CONFIG_A": "y"}, known=["CONFIG_OLD"])
        with pytest.raises(ConfigError, match="CONFIG_A=y"):
            verify(each, {"CONFIG_OLD": "y"}, known=[])
    by_hand = load_requested([_fragment(tmp_path, text)], ["CONFIG_OLD=y"])
    with pytest.raises(ConfigError, match="CONFIG_OLD=y"):
        verify(by_hand, {"CONFIG_A": "y"}, known=[])


WISHES = """\
CONFIG_A=y
# wish: swift builds
# CONFIG_B is not set
CONFIG_C=512
# a remark
# wish: filesystem x
CONFIG_X=m
"""


def test_a_dropped_wish_is_named_with_what_is_lost(tmp_path: Path) -> None:
    requested = load_requested([_fragment(tmp_path, WISHES)], [])
    again = parse_requested(requested.text)
    assert again.wishes == requested.wishes
    assert again.key == requested.key
    final = {"CONFIG_A": "y", "CONFIG_B": "y", "CONFIG_C": "256", "CONFIG_X": "n"}
    for each in (requested, again):
        dropped = verify(each, final, known=["CONFIG_B", "CONFIG_C", "CONFIG_X"])
        assert [str(line) for line in dropped] == [
            "B (cannot be off: swift builds)",
            "C (is 256: swift builds)",
            "X (dropped: filesystem x)",
        ]
    (first,) = verify(requested, {"CONFIG_A": "y", "CONFIG_C": "512"}, known=[])
    assert str(first) == "X (no such option: filesystem x)"


def test_a_need_beside_wishes_is_an_error_as_ever(tmp_path: Path) -> None:
    requested = load_requested([_fragment(tmp_path, WISHES)], [])
    with pytest.raises(ConfigError, match=r"CONFIG_A=y \(some\.config:1\) is absent") as caught:
        verify(requested, {}, known=["CONFIG_A"])
    assert "CONFIG_X" not in str(caught.value)


def test_a_wish_by_hand_is_a_need(tmp_path: Path) -> None:
    requested = load_requested([_fragment(tmp_path, WISHES)], ["CONFIG_X=m"])
    with pytest.raises(ConfigError, match="CONFIG_X=m"):
        verify(requested, {"CONFIG_A": "y", "CONFIG_C": "512"}, known=[])


def test_a_module_that_became_built_in_is_refused(tmp_path: Path) -> None:
    requested = load_requested([_fragment(tmp_path, WISHES)], [])
    with pytest.raises(ConfigError, match="CONFIG_X=m"):
        verify(requested, {"CONFIG_A": "y", "CONFIG_C": "512", "CONFIG_X": "y"}, known=["CONFIG_X"])


def test_what_may_be_dropped_is_part_of_the_key(tmp_path: Path) -> None:
    one = load_requested([_fragment(tmp_path, "CONFIG_A=y\n# wish: this\nCONFIG_B=y\n")], [])
    two = load_requested([_fragment(tmp_path, "CONFIG_A=y\n# wish: that\nCONFIG_B=y\n")], [])
    three = load_requested([_fragment(tmp_path, "CONFIG_A=y\nCONFIG_B=y\n")], [])
    assert one.key == two.key
    assert one.key != three.key


@pytest.mark.parametrize("line", ["# wish", "# wish:", "# wish x", "# need it", "# if known"])
def test_a_section_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError, match=r"some\.config:1: '# .*expected '# need'"):
        load_requested([_fragment(tmp_path, f"{line}\nCONFIG_A=y\n")], [])


def test_a_later_fragment_decides_what_a_line_is(tmp_path: Path) -> None:
    wish = _fragment(tmp_path, "# wish: this\nCONFIG_A=y\n")
    need = tmp_path / "need.config"
    need.write_text("CONFIG_A=y\n")
    assert load_requested([need, wish], []).wishes == {"CONFIG_A": "this"}
    assert load_requested([wish, need], []).wishes == {}


def test_default_fragments_agree_with_each_other() -> None:
    requested = load_requested(DEFAULT_FRAGMENTS, [])
    assert requested.values["CONFIG_HFS_FS"] == "m"
    assert requested.values["CONFIG_DEBUG_KMEMLEAK"] == "y"
    seen: dict[str, str] = {}
    for fragment in DEFAULT_FRAGMENTS:
        for symbol, value in parse_config(fragment.read_text()).items():
            assert seen.setdefault(symbol, value) == value, f"{fragment.name}: {symbol}"


def test_of_many_lost_wishes_the_first_are_named() -> None:
    names = [f"OPTION_{number}" for number in range(45)]
    assert shortened(names[:2]) == "OPTION_0; OPTION_1"
    assert shortened(names).endswith("OPTION_11; and 33 more")
