"""Mutated images against a kernel: mount, walk, write, sync, umount; which of them go wrong.

Thousands of mutants go through few guests. A first pass finds those that take a guest down, each at
the price of one boot; the others then run as one batch with its leak check. What fails is made
smaller by leaving out changes, all the smaller ones of a leak in one batch again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from errpath.cases.case import Device, MountCase
from errpath.cases.mounting import mount_step
from errpath.cases.run import run_case
from errpath.cases.steps import Umount
from errpath.cases.volume_steps import ReadBack, WriteProbe
from errpath.errors import GuestPoisonedError
from errpath.filesystems import load_filesystem
from errpath.guest.channel import AgentError
from errpath.images.crafted.catalogue import BASES
from errpath.images.crafted.mutant import Mutant
from errpath.images.crafted.show import show
from errpath.oracles.failure import LEAK, VOLUME, worst
from errpath.runner.batch_runner import BatchRunner
from errpath.runner.guest_loss import classify_guest_loss, is_guest_unusable
from errpath.runner.guests import PreparedGuest
from errpath.runner.known_issues import KnownIssues
from errpath.runner.usual import UsualFailures
from errpath.runner.verdict import Status, Verdict, first_failure, infrastructure_error, judge
from errpath.util.progress import Progress

__all__ = ["FuzzFinding", "FuzzSearch", "MutatedMount", "mutant_case", "smaller_variants"]

# A mount of a volume of some hundred kilobytes that takes longer hangs.
_SECONDS = 10.0
# Smaller variants of one failing mutant that are tried.
_VARIANTS_MAX = 48
# Failures of a mutant that are shown in full.
_EVIDENCE_MAX = 3
# Lines that show what is changed in a mutant.
_LINES_MAX = 30


@dataclass(frozen=True)
class MutatedMount:
    """A mutant, and how it is mounted."""

    mutant: Mutant
    readonly: bool = False


@dataclass(frozen=True)
class FuzzFinding:
    """A mutant that the kernel did not survive as it should."""

    mutated: MutatedMount
    verdict: Verdict

    def __str__(self) -> str:
        mutant = self.mutated.mutant
        mode = "ro" if self.mutated.readonly else "rw"
        lines = [
            f"{mutant.base.name}, mounted {mode}: {'; '.join(self.verdict.reasons)}",
            *(f"  {line}" for line in _changes(mutant)),
        ]
        if mutant.base.name in BASES:
            lines.append(f"  errpath images write '@{mutant.blob}' FILE")
        for failure in self.verdict.failures[:_EVIDENCE_MAX]:
            lines += [f"    {line}" for line in failure.evidence.splitlines()[:40]]
        return "\n".join(lines)


def _changes(mutant: Mutant) -> list[str]:
    """What is changed, as fields where it is in fields."""
    lines = show(mutant.image(), base=mutant.base, whole=False).splitlines()[1:]
    # The names of structures, and what differs in them: their other fields say nothing.
    lines_changed = [line for line in lines if not line.startswith(" ")]
    return [*lines_changed[:_LINES_MAX], *(["…"] if len(lines_changed) > _LINES_MAX else [])]


@dataclass
class FuzzSearch:
    """Runs mutants of one filesystem's images."""

    filesystem: str
    boot: Callable[[], PreparedGuest]
    known: KnownIssues
    progress: Progress
    # Name of the guests' definition.
    guest: str
    repeats: int = 2
    # Shared by all that run on one kernel.
    usual: UsualFailures = field(default_factory=UsualFailures)
    # Told of each mutant that took no guest down, and what edges its task ran (needs a kernel with
    # KCOV); None: they are not asked for.
    watch: Callable[[MutatedMount, Sequence[int]], object] | None = None
    # How many mutants ran, how many of them mounted, and known bugs by id.
    tried: int = 0
    mounted: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    # Mutants without a verdict, with the reason.
    unjudged: list[str] = field(default_factory=list)
    # Mutants that failed the way an earlier one did that no report explains.
    again: int = 0
    # What has failed so far: one of each kind is reported, however long the search goes on.
    _reported: set[str] = field(default_factory=set)
    _announced: bool = False

    def run(self, mounts: Iterable[MutatedMount], total: int) -> list[FuzzFinding]:
        """New findings among `mounts`, one of each kind that no earlier call had, made as small as
        leaving out changes makes them. Each of the `total` mounts is asked for when it is its turn:
        it may depend on what `watch` was told of those before."""
        kinds: dict[str, FuzzFinding] = {}
        for finding in self._all(mounts, total):
            kind = finding.verdict.signature
            if kind in self._reported or kind in kinds:
                self.again += 1
            if kind in self._reported:
                continue
            best = kinds.setdefault(kind, finding)
            if _size(finding.mutated.mutant) < _size(best.mutated.mutant):
                kinds[kind] = finding
        self._reported |= kinds.keys()
        return [self._smaller(finding) for finding in kinds.values()]

    def _all(self, mounts: Iterable[MutatedMount], total: int) -> list[FuzzFinding]:
        fatal, harmless = self._first_pass(mounts, total)
        verdicts = fatal + self._batch(harmless)
        self.tried += len(verdicts)
        findings = []
        for mutated, verdict in verdicts:
            if verdict.status is Status.ERROR:
                self.unjudged.append(verdict.reasons[0])
            if verdict.outcome is not None and verdict.outcome.steps:
                self.mounted += verdict.outcome.steps[0].errno == 0
            if not self._failed(verdict):
                continue
            issue = self._known(verdict)
            if issue:
                self.seen[issue] = self.seen.get(issue, 0) + 1
            else:
                findings.append(FuzzFinding(mutated, verdict))
        return findings

    def _announce(self, verdict: Verdict) -> None:
        """Say the first failure of a search: to make it smaller takes long."""
        if self._announced or not self._failed(verdict) or self._known(verdict):
            return
        self._announced = True
        self.progress.say(first_failure(verdict))

    def _failed(self, verdict: Verdict) -> bool:
        """Whether something went wrong. A mutant may be dirty: of a volume that a mount has changed
        a replay is told apart only where the filesystem's file says what a mount may write."""
        fields_known = bool(load_filesystem(self.filesystem).writes_only)
        return verdict.status is Status.FAIL and any(
            failure.kind is not VOLUME or fields_known for failure in verdict.failures
        )

    def _known(self, verdict: Verdict) -> str:
        """The id of the known issue that explains all that went wrong; empty if none does."""
        found = self.known.explain_today(verdict, self.guest)
        return found[0].id if found else ""

    def _first_pass(
        self, mounts: Iterable[MutatedMount], total: int
    ) -> tuple[list[tuple[MutatedMount, Verdict]], list[tuple[MutatedMount, MountCase]]]:
        """Verdicts on what takes a guest down, and the cases of what does not."""
        fatal: list[tuple[MutatedMount, Verdict]] = []
        harmless: list[tuple[MutatedMount, MountCase]] = []
        prepared: PreparedGuest | None = None
        what = f"{total} mutants of {self.filesystem}"
        with self.progress.step(what, total=total) as step:
            try:
                for number, mutated in enumerate(mounts):
                    step.update(number, note=f"{len(fatal)} took a guest down")
                    case = mutant_case(self.filesystem, mutated, number)
                    prepared = prepared or self.boot()
                    verdict = self._alone(prepared, mutated, case, self.usual.patience)
                    if verdict is not None and _too_brief(verdict, self.usual):
                        needed = self.usual.needed(verdict)
                        prepared.guest.close()
                        prepared = self.boot()
                        verdict = self._alone(prepared, mutated, case, needed)
                    if verdict is None:
                        harmless.append((mutated, case))
                    else:
                        self.usual.note(verdict)
                        fatal.append((mutated, verdict))
                        self._announce(verdict)
                        prepared.guest.close()
                        prepared = None
            finally:
                if prepared is not None:
                    prepared.guest.close()
        return fatal, harmless

    def _alone(
        self, prepared: PreparedGuest, mutated: MutatedMount, case: MountCase, patience: float
    ) -> Verdict | None:
        """The verdict on a case that takes its guest down; None for one that does not."""
        asked = case if self.watch is None else replace(case, coverage="edges")
        try:
            outcome = run_case(prepared.guest, asked, "errpath-mutant", patience=patience)
        except AgentError as error:
            return infrastructure_error(case, str(error))
        except GuestPoisonedError as error:
            return classify_guest_loss(prepared.guest, case, str(error))
        if is_guest_unusable(outcome):
            return judge(case, outcome, None)
        if self.watch is not None:
            self.watch(mutated, outcome.coverage)
        self.usual.note_healthy(outcome)
        return None

    def _batch(
        self, cases: Sequence[tuple[MutatedMount, MountCase]]
    ) -> list[tuple[MutatedMount, Verdict]]:
        """Verdicts after a leak check."""
        runner = BatchRunner(
            self.boot,
            repeats=self.repeats,
            progress=self.progress,
            usual=self.usual,
            announce=self._announce,
        )
        try:
            results = runner.run([case for _, case in cases])
        finally:
            runner.close()
        return [(mutated, results[case.id].verdict) for mutated, case in cases]

    def _smaller(self, finding: FuzzFinding) -> FuzzFinding:
        """The failing mutant with the fewest changes that still fails the same way."""
        variants = smaller_variants(finding.mutated)
        kind = _kind(finding.verdict)
        leaks = any(failure.kind is LEAK for failure in finding.verdict.failures)
        fatal, harmless = self._first_pass(variants, len(variants)) if variants else ([], [])
        verdicts = fatal + (self._batch(harmless) if leaks and harmless else [])
        same = [
            FuzzFinding(mutated, verdict)
            for mutated, verdict in verdicts
            if self._failed(verdict) and _kind(verdict) == kind and not self._known(verdict)
        ]
        return min([finding, *same], key=lambda one: _size(one.mutated.mutant))


def mutant_case(filesystem: str, mutated: MutatedMount, number: int) -> MountCase:
    """Mount it; what mounts is walked, written to where it may be, synced and unmounted."""
    fs = load_filesystem(filesystem)
    mount = mount_step(fs, "mount", "ro" if mutated.readonly else "rw")
    mutant = mutated.mutant
    return MountCase(
        f"{filesystem}-mutant-{number}",
        filesystem,
        Device(mutant.base, pieces=_fitting(mutant), size=mutant.size),
        (
            replace(mount, any_errno=True),
            ReadBack(any_errno=True),
            WriteProbe(any_errno=True),
            Umount(),
        ),
        point="mutant",
        seconds=_SECONDS,
    )


def _fitting(mutant: Mutant) -> tuple[tuple[int, bytes], ...]:
    """What is written, as far as a device that was cut short has it."""
    if mutant.size is None:
        return mutant.pieces
    cut = ((offset, data[: max(0, mutant.size - offset)]) for offset, data in mutant.pieces)
    return tuple((offset, data) for offset, data in cut if data)


def _too_brief(verdict: Verdict, usual: UsualFailures) -> bool:
    """Whether a case that seems to hang was waited for too briefly."""
    stood_still = verdict.outcome.stood_still if verdict.outcome is not None else 0.0
    return 0 < stood_still < usual.needed(verdict)


def _kind(verdict: Verdict) -> str:
    """The kind of what is worst."""
    failure = worst(verdict.failures)
    return failure.kind.name if failure is not None else ""


def _size(mutant: Mutant) -> tuple[int, int]:
    return len(mutant.pieces) + (mutant.size is not None), sum(len(d) for _, d in mutant.pieces)


def smaller_variants(mutated: MutatedMount) -> list[MutatedMount]:
    """The mutants that make fewer changes, the smallest first."""
    mutant = mutated.mutant
    count = min(len(mutant.pieces), 5)
    variants = []
    sizes = [None, mutant.size] if mutant.size is not None else [None]
    for chosen in range(1 << count):
        kept = tuple(
            piece
            for number, piece in enumerate(mutant.pieces)
            if number >= count or chosen >> number & 1
        )
        for size in sizes:
            smaller = replace(mutant, pieces=kept, size=size)
            if _size(smaller) < _size(mutant) and (kept or size is not None):
                variants.append(replace(mutated, mutant=smaller))
    variants.sort(key=lambda one: _size(one.mutant))
    return variants[:_VARIANTS_MAX]
