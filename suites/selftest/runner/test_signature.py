"""Signatures: the same failure reads the same on every run, another one does not."""

from __future__ import annotations

from errpath.cases.case import Device, MountCase
from errpath.cases.steps import Mount
from errpath.kernel.log import find_crashes
from errpath.oracles.kmemleak import CallSite, Record
from errpath.runner.signature import of_text, signature
from errpath.runner.verdict import Leak, Status, Verdict, infrastructure_error

_CASE = MountCase("c", "hfs", Device(), (Mount("hfs"),))


def _leak(address: int, pid: int, offset: int, *functions: str, size: int = 512) -> Verdict:
    sites = tuple(CallSite(name, offset, None) for name in ("__kmalloc_noprof", *functions))
    record = Record(address, size, f"errpath-{pid:06d}", pid, 4294900000 + pid, sites, "raw")
    return Verdict(_CASE, Status.FAIL, ("leak",), leak=Leak((record,), 2, 2))


def test_leaks() -> None:
    stack = ("hfs_init_fs_context", "alloc_fs_context", "path_mount", "a", "b")
    one = signature(_leak(0xFFFF888003F4EC00, 35, 0x20, *stack))
    assert one == "leak 512 < hfs_init_fs_context < alloc_fs_context < path_mount < a"
    assert signature(_leak(0xFFFF888003F00000, 99, 0x24, *stack)) == one
    assert signature(_leak(1, 1, 1, *stack, size=64)) != one
    assert signature(_leak(1, 1, 1, "hfs_fill_super")) != one


def _crash(text: str) -> Verdict:
    crashes = find_crashes(text)
    return Verdict(_CASE, Status.FAIL, (f"kernel {crashes[0].kind}",), crashes=crashes)


def test_crashes() -> None:
    first = (
        "BUG: kernel NULL pointer dereference, address: 0000000000000018\n"
        "RIP: 0010:hfs_mdb_put+0x1c/0x90\nCall Trace:\n---[ end trace 0000000000000000 ]---\n"
    )
    again = first.replace("0018", "0020").replace("+0x1c/0x90", "+0x2c/0xa0")
    other = first.replace("hfs_mdb_put", "hfs_fill_super")
    assert signature(_crash(first)) == signature(_crash(again))
    assert signature(_crash(first)).endswith("in hfs_mdb_put")
    assert signature(_crash(first)) != signature(_crash(other))


def test_the_rest() -> None:
    assert signature(Verdict(_CASE, Status.PASS)) == ""
    wrong = Verdict(_CASE, Status.FAIL, ("mount: mount: -EIO; expected -EINVAL",))
    assert signature(wrong) == "mount: mount: -EIO; expected -EINVAL"
    assert signature(infrastructure_error(_CASE, "qemu 123 died")) == "qemu N died"
    assert of_text("at ffff888003f4ec00 after 3 s: foo+0x1/0x2") == "at X after N s: foo"
