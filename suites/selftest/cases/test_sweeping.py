"""The sequences that a sweep fails."""

from __future__ import annotations

import pytest

from errpath.cases.steps import FsOpen, Mount
from errpath.cases.sweeping import parse_sweep_events, parse_volumes, sequence
from errpath.errors import UsageError
from errpath.filesystems import SWEEP_DEFAULT, SWEEP_EVENTS, load_filesystem


@pytest.mark.parametrize("event", SWEEP_EVENTS)
def test_something_is_armed_and_the_volume_is_used_after_it(event: str) -> None:
    # hfs cannot be frozen.
    found = sequence(load_filesystem("ext4" if event == "freeze" else "hfs"), event)
    steps = found.steps
    armed = [at for at, step in enumerate(steps) if step.armed]
    after = [step.op for step in steps[armed[-1] + 1 :]]
    assert "use" in after
    assert after[-3:] == ["mount", "use", "umount"]
    # What stands before must work, what comes after may do as it likes.
    before = [step for step in steps[: armed[0]] if step.op not in ("use", "umount")]
    assert not any(step.any_errno for step in before)
    assert all(step.any_errno and step.goes_on for step in steps[armed[0] :])
    # With nothing forced, what is armed must give what it always does.
    untouched = found.untouched()
    assert [untouched[at].any_errno for at in armed] == [found.expect is None] * len(armed)
    assert found.expect is None or {untouched[at].expected for at in armed} == {found.expect}
    assert not any(step.armed for step in untouched)


def test_contexts_of_every_type_are_closed_with_each_option_and_with_all_twice() -> None:
    gfs2 = sequence(load_filesystem("gfs2"), "context").steps
    opened = [step for step in gfs2 if isinstance(step, FsOpen)]
    assert [step.fstype for step in opened][-1] == "gfs2meta"
    assert {step.until for step in opened} == {"options"}
    (option,) = load_filesystem("gfs2").good_options
    assert (tuple(option), tuple(option)) in [step.pairs for step in opened]


def test_a_loss_of_power_is_between_writes_and_the_armed_mount() -> None:
    ops = [step.op for step in sequence(load_filesystem("ext4"), "recovery").steps]
    assert ops[:6] == ["mount", "use", "keep", "umount", "restore", "mount"]


def test_devices_that_are_not_fit_have_the_errno_of_the_definition() -> None:
    romfs = load_filesystem("romfs")
    found = sequence(romfs, "blocks-4096")
    assert (found.device.block_size, found.expect) == (4096, "EINVAL")
    assert sequence(romfs, "held-device").expect == "EBUSY"
    assert sequence(load_filesystem("befs"), "reconfigure").expect == "EINVAL"
    assert sequence(romfs, "reconfigure").expect == ""
    assert sequence(load_filesystem("hfs"), "readonly-device").device.readonly


def test_block_sizes_and_ends_of_devices() -> None:
    hfs = load_filesystem("hfs")
    image = sequence(hfs, "mount-ro").device.image
    assert image is not None
    ends = [sequence(hfs, event).device.size for event in ("odd-end", "short-end")]
    assert ends == [image.size + 512, image.size - 512]
    assert sequence(hfs, "soft-blocks-2048").device.soft_block_size == 2048
    # Whether it mounts depends on the volume.
    assert sequence(hfs, "short-end").expect is None
    assert sequence(hfs, "blocks-512").device.block_size == 512
    assert sequence(hfs, "blocks-512").expect is None
    assert sequence(hfs, "blocks-4096").expect == "EINVAL"


def test_a_broken_field_needs_a_mount_at_the_beginning() -> None:
    hfs = load_filesystem("hfs")
    first = {event: sequence(hfs, event).begins_with_a_mount for event in SWEEP_DEFAULT}
    assert [event for event, yes in first.items() if yes] == ["mount-ro", "mount-rw", "fsopen"]
    steps = sequence(hfs, "mount-ro").of_any_volume()
    assert not any(step.armed for step in steps)
    assert steps[0].any_errno


def test_volumes_by_name() -> None:
    assert parse_volumes("", ["ext4", "hfs"]) == {"ext4": ("",), "hfs": ("",)}
    assert parse_volumes("mmp", ["ext4", "hfs"]) == {"ext4": ("mmp",), "hfs": ()}
    every = parse_volumes("all", ["exfat", "bfs"])
    assert every == {"exfat": ("", "bad-upcase"), "bfs": ("",)}
    with pytest.raises(UsageError, match=r"--volume odd: unknown; expected some of: label"):
        parse_volumes("odd", ["erofs"])
    image = sequence(load_filesystem("erofs"), "mount-ro", "label").device.image
    assert image is not None
    assert (image.name, image.read(1088, 8)) == ("erofs-label", b"errpath\0")


def test_events_that_cannot_be_had_have_a_reason() -> None:
    assert sequence(load_filesystem("isofs"), "mount-rw").reason == "it mounts read-only alone"
    assert "its server" in sequence(load_filesystem("fuseblk"), "mount-ro").reason

    assert sequence(load_filesystem("hfs"), "freeze").reason == "it cannot be frozen"


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"--sweep-event burn: unknown; expected some of: mount-ro"
    ):
        parse_sweep_events("mount-ro,burn")
    assert parse_sweep_events("") == SWEEP_DEFAULT
    assert parse_sweep_events("all") == tuple(SWEEP_EVENTS)


def test_a_volume_has_options_and_errnos_of_its_own() -> None:
    f2fs = load_filesystem("f2fs")
    found = sequence(f2fs, "reconfigure-ro", "no-checkpoint")
    assert isinstance(found.steps[0], Mount)
    assert found.steps[0].options == (("checkpoint", "disable"),)
    assert (found.expect, sequence(f2fs, "reconfigure-ro").expect) == ("EINVAL", "")
    assert sequence(f2fs, "mount-rw", "no-checkpoint").expect == ""
