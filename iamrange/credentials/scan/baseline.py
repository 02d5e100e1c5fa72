"""A baseline: what is known already, by keyed hash and file, so that only what is new fails.

- It holds no secret. It names the key of its hashes: with another key nothing in it would match.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.credentials.scan.finding import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iamrange.credentials.scan.finding import Finding

VERSION: Final = 1


class BaselineError(Exception):
    """A file is no baseline, or one of another key; the text says which and the way out."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Findings apart: new ones, known ones, and entries of the baseline that nothing matches."""

    new: tuple[Finding, ...]
    known: tuple[Finding, ...]
    stale: tuple[tuple[str, str], ...]


def written(findings: Sequence[Finding], key_id: str) -> str:
    """Return the text of a baseline that knows these findings."""
    entries = sorted({(_path(f), f.value, f.rule) for f in findings})
    known = [{"path": path, "value": value, "rule": rule} for path, value, rule in entries]
    return json.dumps({"version": VERSION, "key_id": key_id, "known": known}, indent=1) + "\n"


def read(text: str, key_id: str) -> frozenset[tuple[str, str]]:
    """Return the known values with their files.

    Raises:
        BaselineError: it is none, or its hashes are of another key.
    """
    try:
        document: Any = json.loads(text)
        version, made_with = document["version"], document["key_id"]
        known = frozenset((str(one["value"]), str(one["path"])) for one in document["known"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BaselineError("expected a file that --write-baseline wrote") from None
    if version != VERSION:
        raise BaselineError(f"expected version {VERSION}, got {shown(str(version))[:40]}")
    if made_with != key_id:
        raise BaselineError(
            f"its hashes are of key {shown(str(made_with))[:40]}, this scan's of {key_id}: "
            "give the same key with --key-file"
        )
    return known


def compare(findings: Sequence[Finding], known: frozenset[tuple[str, str]]) -> Compared:
    """Tell new findings from known ones."""
    here = {(finding.value, _path(finding)) for finding in findings}
    return Compared(
        new=tuple(f for f in findings if (f.value, _path(f)) not in known),
        known=tuple(f for f in findings if (f.value, _path(f)) in known),
        stale=tuple(sorted((path, value) for value, path in known - here)),
    )


def _path(finding: Finding) -> str:
    return shown(finding.place.path)
