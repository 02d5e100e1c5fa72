"""Run git's plumbing on a repository that may be hostile, so that nothing of its own runs.

- Hooks, file-system monitors, text converters, external diffs, signature programs, pagers,
  transports and lazy fetches are off, and the environment's and the user's settings are not read.
- What git keeps to be faster (commit graph, multi-pack index) is not believed: it may say less than
  the objects do.
- Whose files they are does not matter: git asks that to keep a stranger's settings from running.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from iamrange.credentials.scan.finding import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_SAFE: Final = (
    "--no-pager", "--no-replace-objects", "--no-optional-locks", "--literal-pathspecs",
    *(part for setting in (
        "core.fsmonitor=false", "core.hooksPath=/dev/null", "core.pager=cat", "diff.external=",
        "log.showSignature=false", "gpg.program=false", "gpg.ssh.program=false",
        "gpg.x509.program=false", "core.sshCommand=false", "protocol.allow=never",
        "core.untrackedCache=false", "core.quotePath=false", "log.mailmap=false",
        "i18n.logOutputEncoding=utf-8", "maintenance.auto=false", "gc.auto=0",
        "core.commitGraph=false", "core.multiPackIndex=false", "diff.relative=false",
        "diff.orderFile=/dev/null", "safe.directory=*", "advice.graftFileDeprecated=false",
    ) for part in ("-c", setting)),
)  # fmt: skip
_ERROR_TEXT: Final = 200


class GitError(Exception):
    """There is no git, or no repository there; the text says which and what git said."""


def environment(keep: Sequence[str] = ()) -> dict[str, str]:
    """Return an environment in which git reads no settings but the repository's own."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in keep}
    return plain | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_PAGER": "cat",
        "LC_ALL": "C",
    }


def command(repository: str, *arguments: str) -> list[str]:
    """Return a git command that runs nothing of the repository's.

    Raises:
        GitError: there is no git on PATH.
    """
    git = shutil.which("git")
    if git is None:
        raise GitError("git is not on PATH: expected it for --history and --staged")
    return [git, *_SAFE, "-C", repository, *arguments]


def told(repository: str, *arguments: str, keep: Sequence[str] = ()) -> str:
    """Return what a git command says.

    Raises:
        GitError: there is no git, or it refused; the text has what it said.
    """
    done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        command(repository, *arguments),
        capture_output=True,
        env=environment(keep),
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = short(done.stderr.decode("utf-8", "replace")) or f"status {done.returncode}"
        raise GitError(f"'{shown(repository)}': git {arguments[0]}: {said}")
    return done.stdout.decode("utf-8", "surrogateescape")


def short(complaint: str) -> str:
    """Return the beginning of what git complained about, as one printable line."""
    return shown(complaint.strip())[:_ERROR_TEXT]
