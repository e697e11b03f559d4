"""Known issues of a failure, whatever case showed it; frames of a report symbolised."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from errpath.intake.known import issues_of, shipped_issues
from errpath.intake.symbolise import symbolised
from errpath.kernel import Symbolizer
from errpath.oracles.failure import LEAK, Failure

_MINE = """
issues:
  - id: mine
    link: https://example.org/1
    cases: ["nothing-*"]
    failure: {kind: leak, function: my_function}
"""


def test_a_failure_has_the_entries_of_its_function(tmp_path: Path) -> None:
    (tmp_path / "known.yaml").write_text(_MINE)
    failure = Failure(LEAK, "memory leak in my_function", functions=("kmalloc", "my_function"))
    assert issues_of(failure) == ()
    assert [issue.id for issue in issues_of(failure, [tmp_path / "known.yaml"])] == ["mine"]


def test_the_shipped_entries_are_found_by_what_they_say() -> None:
    issue = next(one for one in shipped_issues() if one.patterns[0].function)
    pattern = issue.patterns[0]
    name = pattern.function[0].replace("*", "x")
    failure = Failure(LEAK, f"x in {name}", functions=(name,))
    assert (issue in issues_of(failure)) is pattern.matches(failure)
    leak = next(
        one
        for one in shipped_issues()
        for p in one.patterns
        if p.kind == "leak" and p.function and not p.text
    )
    names = (leak.patterns[0].function[0],)
    assert leak in issues_of(Failure(LEAK, f"memory leak in {names[0]}", functions=names))


class _Symbols:
    def decode(self, text: str) -> str:
        return text.replace("+0x1/0x2", "+0x1/0x2 (include/linux/slab.h:7 fs/hfs/super.c:12)")


def test_the_place_is_that_of_the_named_function() -> None:
    failure = Failure(LEAK, "memory leak in f", evidence="    g+0x3/0x4\n    f+0x1/0x2 [hfs]\n")
    found = symbolised(failure, cast(Symbolizer, _Symbols()))
    # What is in front of it is inlined there.
    assert found.where == "fs/hfs/super.c:12"
    assert "include/linux/slab.h:7" in found.evidence
