"""The bulk operation: JSON lines in, one summary out. Lines are read and carried out in parts.

- A line that cannot be read is refused by its number; the others are carried out.
- Neighbouring lines of one kind become one bulk command, so that order is kept.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from iamrange.identity.directory.api_requests import RequestError, check_body
from iamrange.identity.directory.api_values import spec_from_json
from iamrange.identity.directory.bulk import BulkResult
from iamrange.identity.directory.model import AgentFieldError, DirectoryRefusal
from iamrange.jose.gate import DocumentError, read_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from iamrange.identity.directory.directory import Directory
    from iamrange.identity.http import Runner

LINE_LIMIT = 64 * 1024
PART = 2000


async def run_bulk(
    directory: Directory, stream: AsyncIterator[bytes], *, actor: str, run: Runner
) -> BulkResult:
    """Carry out all lines; `position` counts those that were looked at.

    Raises:
        RequestError: a line is longer than any command.
        TamperedError, StoreDownError: what was committed before stays.
    """
    total = BulkResult()
    part: list[bytes] = []
    async for line in _lines(stream):
        part.append(line)
        if len(part) == PART:
            await run(_carry_out, directory, part, actor, total)
            part = []
    if part:
        await run(_carry_out, directory, part, actor, total)
    return total


async def _lines(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        if any(len(line) > LINE_LIMIT for line in (*whole, rest)):
            raise RequestError(f"a line is longer than {LINE_LIMIT} octets")
        for line in whole:
            yield line
    if rest:
        yield rest


def _carry_out(directory: Directory, part: Sequence[bytes], actor: str, total: BulkResult) -> None:
    for kind, group in groupby(_read(part, total), key=_kind):
        given = [what for _, what in group]
        action, *options = kind
        if action == "register":
            result = directory.register_many(given, actor=actor, activate=bool(options[0]))
        elif action == "rotate":
            pairs = [(one["name"], one["jwk"]) for one in given]
            result = directory.rotate_many(pairs, overlap=float(options[0]), actor=actor)
        else:
            result = directory.change_many(action, given, actor=actor)
        total.changed += result.changed
        total.unchanged += result.unchanged
        for agent, refusal in result.refusals:
            total.refuse(agent, refusal)
        total.refused += result.refused - len(result.refusals)


def _read(part: Sequence[bytes], total: BulkResult) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for raw in part:
        total.position += 1
        if not raw.strip():
            continue
        try:
            value = check_body("BulkLine", read_json(raw))
            ((action, given),) = value.items()
            if action == "register":
                yield (action, given.get("activate", False)), spec_from_json(given)
            elif action == "rotate":
                yield (action, given["overlap"]), given
            else:
                yield (action,), given
        except (DocumentError, RequestError, AgentFieldError) as error:
            total.refuse(f"line {total.position}", DirectoryRefusal("malformed", str(error)))


def _kind(line: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    return line[0]
