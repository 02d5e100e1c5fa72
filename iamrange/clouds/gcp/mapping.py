"""Attribute mappings and conditions of a provider, applied to a token's claims: pure.

- Limits are those of the provider's reference: google.subject at most 127 bytes, all mapped
  values at most 8 KB.
- A claim that a mapping reads and the token lacks is a refusal, never an empty attribute.
- A number or boolean keeps its type for the condition, and is text where a member names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp.cel import Expression, Failed
from iamrange.clouds.gcp.principals import Federated
from iamrange.jose import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SUBJECT_BYTES: Final = 127
MAX_MAPPED_BYTES: Final = 8192
NO_VALUE: Final = "no-mapped-value"
"""The refusal's code where the claims give a mapped attribute no value."""
_MAX_GROUPS: Final = 400
Attribute = str | float | list[str]
"""What a custom attribute may hold; `float` stands for booleans and integers too (PEP 484)."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What the mapping made of the claims, and the first thing that was wrong with it."""

    subject: str = ""
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    refusal: Refusal | None = None

    def federated(self, pool: str) -> Federated:
        """Return the identity in its pool."""
        attributes = {
            name: tuple(value) if isinstance(value, list) else (_as_text(value),)
            for name, value in self.attributes.items()
        }
        return Federated(pool, self.subject, self.groups, attributes)


def apply_mapping(mapping: Mapping[str, Expression], claims: Mapping[str, Any]) -> Mapped:
    """Map the claims; goes on past what fails, and keeps the first refusal."""
    refusal: Refusal | None = None
    subject: str = ""
    groups: tuple[str, ...] = ()
    attributes: dict[str, Attribute] = {}
    for key, expression in mapping.items():
        value = expression.evaluate({"assertion": dict(claims)})
        problem = _problem(key, value)
        if problem is not None:
            refusal = refusal or problem
            if key != "google.subject" or not isinstance(value, str):
                continue
        if key == "google.subject":
            subject = value
        elif key == "google.groups":
            groups = tuple(value)
        else:
            attributes[key.removeprefix("attribute.")] = value
    mapped_bytes = sum(
        len(text.encode())
        for value in (subject, list(groups), *attributes.values())
        for text in (value if isinstance(value, list) else [_as_text(value)])
    )
    if refusal is None and mapped_bytes > MAX_MAPPED_BYTES:
        refusal = Refusal(
            "attributes-too-long",
            f"The total size of the mapped attributes exceeds the {MAX_MAPPED_BYTES} bytes limit.",
        )
    return Mapped(subject, groups, attributes, refusal)


def condition_holds(
    condition: Expression, claims: Mapping[str, Any], mapped: Mapped
) -> bool | Failed:
    """Return the truth of the attribute condition, or `Failed`."""
    google: dict[str, Any] = {"subject": mapped.subject}
    if mapped.groups:
        google["groups"] = list(mapped.groups)
    variables = {
        "assertion": dict(claims),
        "google": google,
        "attribute": dict(mapped.attributes),
    }
    return condition.holds(variables)


def _problem(key: str, value: object) -> Refusal | None:
    if isinstance(value, Failed):
        return _no_value(key)
    if key == "google.subject":
        return _subject_problem(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        if key == "google.groups" and len(value) > _MAX_GROUPS:
            return Refusal("too-many-groups", "The mapped attribute google.groups is too long.")
        return None
    if isinstance(value, str | bool | int | float) and key != "google.groups":
        return None
    wanted = "a list of strings" if key == "google.groups" else "a scalar or a list of strings"
    return Refusal("mapping-wrong-type", f"The mapped attribute {key} must be {wanted}.")


def _no_value(key: str) -> Refusal:
    return Refusal(NO_VALUE, f"Could not obtain a value for {key} from the given credential.")


def _as_text(value: str | float) -> str:
    """Return a scalar as CEL's `string` shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _subject_problem(value: object) -> Refusal | None:
    if not isinstance(value, str):
        return Refusal(
            "mapping-wrong-type", "The mapped attribute google.subject must be a string."
        )
    if not value:
        return _no_value("google.subject")
    if len(value.encode()) > MAX_SUBJECT_BYTES:
        return Refusal(
            "subject-too-long",
            f"The size of mapped attribute google.subject exceeds the {MAX_SUBJECT_BYTES} bytes "
            "limit. Either modify your attribute mapping or the incoming assertion to produce a "
            f"mapped attribute that is less than {MAX_SUBJECT_BYTES} bytes.",
        )
    return None
