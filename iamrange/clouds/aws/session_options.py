"""What a caller may ask of a new session besides the role: policies, tags, a source identity.

- Pure but for reading managed policies from the store. A wish that cannot be met is an `AwsError`.
- AWS packs policies and tags into a binary form of undocumented size. Here `PackedPolicySize` is
  the zlib-compressed size against the plaintext limit of 2048: the same kind of number, not the
  same number.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.clouds.aws.model import AwsError, AwsRequest, ContextValues, IamStore, Session
from iamrange.clouds.aws.policy import CompiledPolicy, MalformedPolicy, PolicyKind, compile_policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PLAINTEXT_LIMIT: Final = 2048
_MANAGED_LIMIT: Final = 10
_TAGS_LIMIT: Final = 50
_TAG_KEY_LIMIT: Final = 128
_TAG_VALUE_LIMIT: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPolicies:
    """The policies a session is narrowed by; `compiled` None means by none."""

    compiled: tuple[CompiledPolicy, ...] | None
    plaintext: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTags:
    """A session's tags: those given now, and those inherited from the calling session."""

    given: Mapping[str, str] = field(default_factory=dict)
    given_transitive: tuple[str, ...] = ()
    inherited: Mapping[str, str] = field(default_factory=dict)

    @property
    def all(self) -> Mapping[str, str]:
        """The tags of the new session."""
        return {**self.given, **self.inherited}

    @property
    def transitive_keys(self) -> frozenset[str]:
        """The keys that a session made from the new one will inherit."""
        return frozenset(self.given_transitive) | frozenset(self.inherited)

    @property
    def context(self) -> ContextValues:
        """The condition keys of a request that passes these tags."""
        keys: dict[str, str | Sequence[str]] = {
            f"aws:RequestTag/{key}": value for key, value in self.given.items()
        }
        if self.given:
            keys["aws:TagKeys"] = tuple(self.given)
        if self.given_transitive:
            keys["sts:TransitiveTagKeys"] = self.given_transitive
        return keys


def session_policies(request: AwsRequest, store: IamStore) -> SessionPolicies | AwsError:
    """Read and compile the request's inline and managed session policies."""
    inline: str | None = request.parameters.get("Policy")
    arns = [item.get("arn", "") for item in request.parameters.get("PolicyArns", [])]
    plaintext = (inline or "") + "".join(arns)
    if len(arns) > _MANAGED_LIMIT:
        return _invalid(f"PolicyArns: at most {_MANAGED_LIMIT} managed policies, got {len(arns)}")
    if len(inline or "") > _PLAINTEXT_LIMIT:
        return _invalid(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_PLAINTEXT_LIMIT}"
        )
    if len(plaintext) > _PLAINTEXT_LIMIT:
        return _too_large(100 * len(plaintext) // _PLAINTEXT_LIMIT)
    documents = [("session-policy", inline)] if inline is not None else []
    for arn in arns:
        document = store.managed_policy(arn)
        if document is None:
            return _invalid(f"Policy {arn} does not exist or is not attachable.")
        documents.append((arn, document))
    try:
        compiled = tuple(
            compile_policy(document, kind=PolicyKind.SESSION, name=name)
            for name, document in documents
        )
    except MalformedPolicy as error:
        return AwsError(code="MalformedPolicyDocument", message=str(error), status=400)
    return SessionPolicies(compiled=compiled if documents else None, plaintext=plaintext)


def requested_tags(request: AwsRequest, session: Session | None) -> SessionTags | AwsError:
    """Read the request's tags, and what a calling session hands down to the new one."""
    items = [(tag["Key"], tag["Value"]) for tag in request.parameters.get("Tags", [])]
    transitive = request.parameters.get("TransitiveTagKeys", [])
    return session_tags(items, transitive, session)


def session_tags(
    items: Sequence[tuple[str, str]], transitive: Iterable[str], session: Session | None = None
) -> SessionTags | AwsError:
    """Check tags against the limits and against what is inherited.

    A transitive tag cannot be overridden further down the chain
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html).
    """
    keys = [key for key, _ in items]
    passed_on = tuple(dict.fromkeys(transitive))
    inherited = _inherited(session)
    if fault := _tag_fault(items):
        return _invalid(fault)
    unknown = [key for key in passed_on if key not in keys and key not in inherited]
    if unknown:
        return _invalid(f"The transitive tag key '{unknown[0]}' must be one of the session tags")
    taken = {key.lower() for key in inherited} & {key.lower() for key in keys}
    if taken:
        return _invalid(f"The session tag '{min(taken)}' was inherited and cannot be overridden")
    own = tuple(key for key in passed_on if key in keys)
    return SessionTags(given=dict(items), given_transitive=own, inherited=inherited)


def packed_size(policies: SessionPolicies, tags: SessionTags) -> int | AwsError:
    """Return how much of the room for policies and tags is taken, in percent."""
    if not policies.plaintext and not tags.all:
        return 0
    packed = zlib.compress((policies.plaintext + json.dumps(dict(tags.all))).encode(), 9)
    percent = -(-100 * len(packed) // _PLAINTEXT_LIMIT)
    return percent if percent <= 100 else _too_large(percent)  # noqa: PLR2004 - percent


def _inherited(session: Session | None) -> dict[str, str]:
    if session is None:
        return {}
    return {key: session.tags[key] for key in sorted(session.transitive_tag_keys)}


def _tag_fault(items: Sequence[tuple[str, str]]) -> str | None:
    if len(items) > _TAGS_LIMIT:
        return f"at most {_TAGS_LIMIT} session tags, got {len(items)}"
    seen: set[str] = set()
    for key, value in items:
        if not 1 <= len(key) <= _TAG_KEY_LIMIT or len(value) > _TAG_VALUE_LIMIT:
            return (
                f"a session tag's key has 1 to {_TAG_KEY_LIMIT} characters and its value at most "
                f"{_TAG_VALUE_LIMIT}"
            )
        if key.lower().startswith("aws:"):
            return "a session tag's key must not begin with aws:"
        if key.lower() in seen:
            return "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        seen.add(key.lower())
    return None


def _invalid(message: str) -> AwsError:
    return AwsError(code="ValidationError", message=message, status=400)


def _too_large(percent: int) -> AwsError:
    return AwsError(
        code="PackedPolicyTooLarge",
        message=f"Packed size of session tags and policies consumes {percent}% of allotted space.",
        status=400,
    )
