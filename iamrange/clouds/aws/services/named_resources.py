"""Find in a request the resources that the reference says its action is about.

- An ARN counts when it reads as the resource type's ARNs do, in this region.
- A name counts when its parameter is called like the placeholder in the type's ARN format; plain
  `Name` or `Id` when the operation is called after the type (`CreateCluster`).
- Two parameters that would name different resources, or none, are nobody's guess: unmapped.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.clouds.aws import reference
from iamrange.clouds.aws.plan import Unmapped
from iamrange.clouds.aws.resources import split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from iamrange.clouds.aws.model import AwsRequest

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")
_SUFFIX = re.compile(r"(?:name|identifier|id)\Z")
_SAFE = re.compile(r"[^\s:*?$\"\\]{1,512}\Z")
_READS = ("List", "Describe", "Get", "BatchGet", "Search")
# Catalogues beside an account's own one are not decided: a request that names one is unmapped.
_NEVER_NAMED = frozenset({("glue", "catalog")})
_TELLING = 8
_NAMING = re.compile(r"(?:names?|ids?|arns?|identifiers?)\Z")
_MAKES = ("Create", "Start", "Run", "Register", "Request", "Submit", "Import", "Put")


@dataclass(frozen=True, slots=True)
class _Format:
    """How the ARNs of one type of resource read."""

    service: str
    region: str
    account: str
    rest: str
    placeholders: tuple[str, ...]
    pattern: re.Pattern[str]


@functools.cache
def _format(prefix: str, kind: str) -> _Format | None:
    text = reference.arn_format(prefix, kind)
    parts = (text or "").replace("${Partition}", "aws", 1).split(":", 5)
    if len(parts) != 6 or parts[1] != "aws":  # noqa: PLR2004 - an ARN's fields
        return None
    rest = parts[5]
    names = _PLACEHOLDER.findall(rest)
    pieces = _PLACEHOLDER.split(rest)
    # A name may hold slashes only where nothing follows it.
    built = ""
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 2
        one = "[^:*?$]+" if last else "[^:/*?$]+"
        built += re.escape(piece) if number % 2 == 0 else one
    return _Format(
        parts[2], parts[3], parts[4], rest, tuple(names), re.compile(built + r"\Z", re.ASCII)
    )


def named_resources(
    prefix: str, request: AwsRequest, about: reference.Action
) -> Sequence[str] | Unmapped:
    """Return the ARNs, `*` for an action that knows no resource."""
    if not about.uses:
        return ("*",)
    found: dict[str, None] = {}
    missing = False
    for use in about.uses:
        if (prefix, use.kind) in _NEVER_NAMED:
            continue
        arns = _of_kind(prefix, request, use.kind)
        if isinstance(arns, Unmapped):
            return arns
        if use.required and not arns:
            return Unmapped(f"which {use.kind} it is about cannot be told", whole=True)
        missing = missing or not arns
        found |= dict.fromkeys(arns)
    if found:
        return tuple(found)
    if request.operation.startswith(_READS) and not _strings(request):
        return ("*",)
    return Unmapped("which resource it is about cannot be told", whole=True)


def _of_kind(prefix: str, request: AwsRequest, kind: str) -> list[str] | Unmapped:
    form = _format(prefix, kind)
    if form is None:
        return Unmapped(f"AWS documents no ARN of a {kind}", whole=True)
    arns: list[str] = []
    for value in (one for values in _strings(request).values() for one in values):
        parts = split(value)
        if parts is None or parts[0] != form.service or not form.pattern.match(parts[3]):
            continue
        if form.region and parts[1] != request.region:
            return Unmapped("a resource of another region")
        arns.append(value)
    if arns:
        return arns
    values: list[list[str]] = []
    for number, placeholder in enumerate(form.placeholders):
        last = number == len(form.placeholders) - 1
        given = _given(request, kind, placeholder, last=last, alone=len(form.placeholders) == 1)
        if isinstance(given, Unmapped):
            return given
        if not given:
            return []
        values.append(given)
    return _filled(form, request, values)


def _filled(form: _Format, request: AwsRequest, values: list[list[str]]) -> list[str] | Unmapped:
    if sum(len(given) > 1 for given in values) > 1:
        return Unmapped("its lists of names cannot be told apart", whole=True)
    count = max((len(given) for given in values), default=1)
    arns = []
    for number in range(count):
        names = iter([given[number] if len(given) > 1 else given[0] for given in values])
        rest = _PLACEHOLDER.sub(lambda _, names=names: next(names), form.rest)  # type: ignore[misc]  # mypy reads no default in a lambda
        region = request.region if form.region else ""
        account = request.account if form.account else ""
        arns.append(f"arn:aws:{form.service}:{region}:{account}:{rest}")
    return arns


def _given(
    request: AwsRequest, kind: str, placeholder: str, *, last: bool, alone: bool
) -> list[str] | Unmapped:
    """Return what the request gives for a placeholder; nothing if it gives nothing."""
    wanted = _plain(placeholder)
    stem = _SUFFIX.sub("", wanted) or wanted
    called = {wanted, stem, *(stem + end for end in ("name", "id", "identifier", "arn"))}
    called |= {name + "s" for name in called}
    words = _WORDS.findall(request.operation.removeprefix("Batch"))
    noun = _plain("".join(words[1:]))
    mine = last and noun.rstrip("s") in (stem, stem.rstrip("s"), _plain(kind))
    if mine:
        called |= {"name", "names", "id", "ids", "identifier"}
    strings = _strings(request)
    found = {k: v for k, v in strings.items() if k in called}
    if not found and len(wanted) >= _TELLING:
        # `DBParameterGroupName` for `ParameterGroupName`.
        found = {k: v for k, v in strings.items() if k.endswith(wanted)}
    if len({tuple(values) for values in found.values()}) > 1:
        return Unmapped(f"more than one parameter could name the {kind}", whole=True)
    values = next(iter(found.values()), [])
    if not values:
        return ["*"] if last and _names_none(request, mine=mine) else []
    for value in values:
        if not _SAFE.match(value) or ("/" in value and not alone):
            return Unmapped(f"the {kind} is not named plainly")
    return values


def _names_none(request: AwsRequest, *, mine: bool) -> bool:
    """Tell whether a call means any resource of a kind: a list of all, or one still to be made."""
    if request.operation.startswith(_READS):
        return not any(_NAMING.search(name) for name in _strings(request))
    return mine and request.operation.startswith(_MAKES)


def _strings(request: AwsRequest) -> dict[str, list[str]]:
    """Return the texts and lists of texts among the parameters, by plain name."""
    found: dict[str, list[str]] = {}
    for name, value in request.parameters.items():
        listed: Iterable[object] = value if isinstance(value, list) else [value]
        texts = [one for one in listed if isinstance(one, str) and one]
        if texts:
            found[_plain(name)] = texts
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
