"""What a log's writer keeps beside it: where it is, and the keys to go on with. Pure but for files.

- What is kept is of some record before the end: who opens the log reads on from there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.audit_chain import Chain
from iamrange.detect.audit_seal import read_line
from iamrange.detect.audit_tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.jose import SigningKey

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


def read_on(state: State, lines: Iterable[bytes]) -> State:
    """Go on along lines that hold; a last one without an end is left out.

    Raises:
        LogTamperedError: a whole line does not hold.
    """
    chain, offset = state.chain.copy(), state.offset
    for line in lines:
        if not line.endswith(b"\n"):
            break
        size, read = chain.tree.size, read_line(line)
        if read is None or read.sequence != size:
            raise LogTamperedError(f"audit log: record {size}: it is not there")
        if not chain.takes(line, read):
            raise LogTamperedError(f"audit log: record {size}: its seal does not hold")
        offset += len(line)
    return State(chain, offset)


def kept_of(name: str, signer: SigningKey, state: State) -> bytes:
    """Return the file that says where a log is."""
    return json.dumps(
        {
            "log": name,
            "signer": signer.private_jwk(),
            "key": state.chain.key.hex(),
            "before": state.chain.before.hex(),
            "size": state.size,
            "offset": state.offset,
            "tree": [digest.hex() for digest in state.chain.tree.edge],
        }
    ).encode()


def state_of(kept: Mapping[str, Any]) -> State:
    """Return the state that such a file holds.

    Raises:
        KeyError, ValueError: it is none.
    """
    tree = Tree(int(kept["size"]), [bytes.fromhex(digest) for digest in kept["tree"]])
    key, before = bytes.fromhex(kept["key"]), bytes.fromhex(kept["before"])
    return State(Chain(key, before, tree), int(kept["offset"]))
