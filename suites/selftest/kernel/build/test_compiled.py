"""How much of a directory a configuration compiles."""

from __future__ import annotations

from errpath.kernel.build.compiled import compiled_share, objects_of, source_files

MAKEFILE = """\
obj-$(CONFIG_FOO_FS) += foo.o
foo-objs := super.o inode.o \\
\tdir.o
foo-$(CONFIG_FOO_XATTR) += xattr.o
foo-$(CONFIG_FOO_QUOTA) += quota.o # remark.o
foo-y += $(addprefix libfoo/, \\
\ta.o \\
\tb.o) last.o
ccflags-y := -I$(src)
"""


def test_objects_are_those_of_the_configuration() -> None:
    every = objects_of(MAKEFILE, {"CONFIG_FOO_FS": "m", "CONFIG_FOO_XATTR": "y"})
    assert every == {
        *("foo.o", "super.o", "inode.o", "dir.o", "xattr.o"),
        *("libfoo/a.o", "libfoo/b.o", "last.o"),
    }
    assert "foo.o" not in objects_of(MAKEFILE, {"CONFIG_FOO_FS": "n"})


def test_source_files_are_those_of_every_configuration_without_tests() -> None:
    tests = "foo-test-objs += t.o\nobj-$(CONFIG_FOO_KUNIT) += string_test.o\n"
    assert source_files(MAKEFILE + tests) == (
        *("foo.c", "super.c", "inode.c", "dir.c", "xattr.c", "quota.c"),
        *("libfoo/a.c", "libfoo/b.c", "last.c"),
    )


def test_the_share_is_of_lines_and_names_what_is_left_out() -> None:
    sources = {
        "super.c": '#include "part.c"\n' + "x\n" * 5,
        "part.c": "x\n" * 2,
        "quota.c": "x\n" * 2,
        "foo.h": "x\n" * 100,
    }
    share = compiled_share(sources, MAKEFILE, {"CONFIG_FOO_FS": "m"})
    assert (share.compiled, share.total) == (8, 10)
    assert share.percent == 80
    assert share.left_out == ("quota.c",)


def test_all_but_one_line_is_not_all() -> None:
    sources = {"super.c": "x\n" * 999, "quota.c": "x\n"}
    assert compiled_share(sources, MAKEFILE, {}).percent == 99
    assert compiled_share({}, MAKEFILE, {}).percent == 0
