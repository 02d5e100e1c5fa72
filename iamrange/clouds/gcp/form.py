"""Bodies of token requests: `application/x-www-form-urlencoded`, each parameter once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from iamrange.jose import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters, and what is wrong with the form. Parameters are secrets."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    problem: Refusal | None = None


def read_form(body: bytes) -> Form:
    """Read a form; a parameter that is given twice is a problem (RFC 6749 section 3.2)."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True)
    except ValueError:
        return Form(problem=Refusal("malformed", "The request body is not a form."))
    values = dict(pairs)
    if len(values) != len(pairs):
        problem = Refusal("duplicate-parameter", "A parameter is given more than once.")
        return Form(values, problem)
    return Form(values)
