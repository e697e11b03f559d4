"""What git itself makes of mails."""

from __future__ import annotations

import os
from collections.abc import Sequence

from errpath.errors import PatchError
from errpath.kernel.source.patches import touched_paths
from errpath.kernel.source.tree import Tree
from errpath.util.cache import scratch_directory
from errpath.util.process import Completed, run

__all__ = ["git_am"]

_SOMEBODY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "errpath"), ("EMAIL", "errpath@localhost"))
}


def git_am(tree: Tree, mails: Sequence[bytes]) -> tuple[str, ...]:
    """Apply mails with `git am`, in order, to a repository of just the files that they touch, and
    return the subjects of the commits that came of it.

    Raises:
        PatchError: git takes one for no mail, or it does not apply; the text is git's.
        ToolMissingError: there is no git.
    """
    paths = dict.fromkeys(path for mail in mails for path in touched_paths(mail, "mail"))
    with scratch_directory() as scratch:

        def git(*words: str, stdin: bytes | None = None) -> Completed:
            # No settings of the user's: neither hooks nor signing keys.
            env = {**_SOMEBODY, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
            done = run(["git", *words], cwd=scratch, stdin=stdin, check=False, env=env)
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip() or done.text.strip()
                raise PatchError(f"git {words[0]}: {said.splitlines()[0]}")
            return done

        tree.write(tuple(paths), scratch)
        git("init", "--quiet")
        git("add", "--all", "--force")
        git("commit", "--quiet", "--allow-empty", "--message", "base")
        for mail in mails:
            git("am", "--quiet", "--keep-non-patch", stdin=mail)
        done = git("log", "--reverse", "--format=%s")
    return tuple(done.text.splitlines()[1:])
