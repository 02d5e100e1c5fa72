"""What a log's writer keeps beside it: where it is, and the keys to go on with. Pure but for files.

- What is kept is of some record before the end: who opens the log reads on from there.
- It has a digest of its own, so that damage shows: not proof against who can read it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.audit_chain import Chain
from iamrange.detect.audit_seal import read_line
from iamrange.detect.audit_tree import Tree
from iamrange.jose import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.detect.audit_head import Head

SEAL_FILE: Final = "seal.json"


class LogTamperedError(Exception):
    """The log's end does not hold: somebody else has written it."""


@dataclass(frozen=True, slots=True)
class State:
    """Where the log is after a record, and how many bytes of it that is."""

    chain: Chain = field(repr=False)
    offset: int

    @property
    def size(self) -> int:
        """How many records that is."""
        return self.chain.tree.size


def read_on(state: State, lines: Iterable[bytes], head: Head | None = None) -> State:
    """Go on along lines that hold; a last one without an end is left out.

    `head` is the last one that was signed: what it covers was on the disk.

    Raises:
        LogTamperedError: a whole line does not hold, or is not what the head says.
    """
    chain, offset = state.chain.copy(), state.offset
    _compare(chain, head)
    for line in lines:
        if not line.endswith(b"\n"):
            break
        size, read = chain.tree.size, read_line(line)
        if read is None or read.sequence != size:
            raise LogTamperedError(f"audit log: record {size}: it is not there")
        if not chain.takes(line, read):
            raise LogTamperedError(f"audit log: record {size}: its seal does not hold")
        _compare(chain, head)
        offset += len(line)
    if head is not None and chain.tree.size < head.size:
        size = chain.tree.size
        raise LogTamperedError(
            f"audit log: record {size}: it is not there, and a head says {head.size} records"
        )
    return State(chain, offset)


def _compare(chain: Chain, head: Head | None) -> None:
    size = chain.tree.size
    if head is not None and head.size == size and head.root != chain.tree.root():
        raise LogTamperedError(
            f"audit log: record {size}: a head says something else of those before"
        )


def kept_of(name: str, signer: SigningKey, state: State) -> bytes:
    """Return the file that says where a log is."""
    kept = {
        "log": name,
        "signer": signer.private_jwk(),
        "key": state.chain.key.hex(),
        "before": state.chain.before.hex(),
        "size": state.size,
        "offset": state.offset,
        "tree": [digest.hex() for digest in state.chain.tree.edge],
    }
    return json.dumps({**kept, "digest": _digest(kept)}).encode()


def read_kept(data: bytes) -> tuple[str, SigningKey, State]:
    """Return a log's name, its key, and where it is, from the file that says so.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    found = None
    try:
        kept = json.loads(data)
        # a file of an older release has no digest
        whole = kept.pop("digest", None) in {None, _digest(kept)}
        if whole and isinstance(kept["log"], str):
            found = kept["log"], SigningKey.from_jwk(kept["signer"]), _state_of(kept)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        found = None
    if found is None:
        raise ValueError(
            f"{SEAL_FILE}: expected what the log's writer keeps of it, got something else or a "
            "damaged file; `iamrange audit verify` does without it"
        )
    return found


def _digest(kept: Mapping[str, Any]) -> str:
    return sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _state_of(kept: Mapping[str, Any]) -> State:
    """Return the state that such a file holds.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    tree = Tree(int(kept["size"]), [bytes.fromhex(digest) for digest in kept["tree"]])
    key, before = bytes.fromhex(kept["key"]), bytes.fromhex(kept["before"])
    return State(Chain(key, before, tree), int(kept["offset"]))
