"""What ordinary use of a valid volume does to its trees."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount, Umount
from errpath.cases.trees import tree_cases
from errpath.cases.volume_steps import Mkdir, Unlink, WriteFile
from errpath.filesystems.mkfs import image


def _case(filesystem: str) -> MountCase:
    """The newest file is removed while the last record of the catalog is not the newest but one:
    names are in another order than CNIDs."""
    return MountCase(
        f"{filesystem}-cnid-after-unlink",
        filesystem,
        Device(image(filesystem)),
        (
            Mount(filesystem),
            *(WriteFile(name, "text") for name in ("z", "a", "b")),
            Unlink("b"),
            WriteFile("c", "text"),
            Mkdir("d"),
            Umount(),
        ),
        point="catalog",
    )


CASES = [_case("hfs"), _case("hfsplus"), *tree_cases()]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_catalog(case: MountCase, expect_pass: Callable[[], None]) -> None:
    expect_pass()
