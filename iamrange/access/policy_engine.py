"""The policy in process: Rego by regorus, asked for `data.ai.authorization`.

- Fail closed: undefined, an error, an answer that is no boolean, an input that is no JSON object:
  each is a deny with a reason of its own.
- The input is always JSON text. Members that come twice are refused before the engine sees them:
  it would take the last, and another reader the first.
- What a policy cannot but answer again is remembered (`policy_memory.py`), and told apart by all
  that the policy can read.
- Any thread may ask.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from iamrange.access.policy_memory import question, reads
from iamrange.access.rego import MAX_BYTES, Complaint, PolicyError, Rego

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["PolicyAnswer", "PolicyEngine", "PolicyError", "read_folder"]

UNDEFINED = "policy-undefined"
ERROR = "policy-error"
INPUT = "policy-input"

MAX_INPUT = 64 * 1024
PACKAGE = "data.ai.authorization"
TEST_SUFFIX = "_test.rego"
_REMEMBERED = 4096

_QUESTION_FILE = "iamrange-question.rego"
_QUESTION = "data.iamrange.question.answer"
# Comprehensions, since an object with an undefined member would be undefined as a whole.
_QUESTION_TEXT = """package iamrange.question

answer := {
	"allow": [value | value := data.ai.authorization.allow],
	"deny": [value | some value in data.ai.authorization.deny],
	"rules": [value | some value in data.ai.authorization.rules],
}
"""


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What the policy says: reasons against, or names of the rules that allowed."""

    allow: bool
    deny: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


class PolicyEngine:
    """One policy, compiled."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Compile the files of a policy: name -> Rego text.

        Raises:
            PolicyError: it is none, or does not deny by default.
        """
        self.texts = dict(sorted(texts.items()))
        if not any(not name.endswith(TEST_SUFFIX) for name in self.texts):
            raise PolicyError("policy: expected Rego files, got none")
        self._rego = Rego({**self.texts, _QUESTION_FILE: _QUESTION_TEXT})
        self.digest = self._rego.digest
        self._reads = reads(self.texts.values())
        self._remembered = lru_cache(_REMEMBERED)(self.ask)
        self._check()

    @classmethod
    def from_folder(cls, folder: Path) -> PolicyEngine:
        """Compile the Rego files of a folder; tests (`*_test.rego`) stay outside.

        Raises:
            PolicyError: a file cannot be read, or it is no policy, or does not deny by default.
        """
        return cls(
            {
                name: text
                for name, text in read_folder(folder).items()
                if not name.endswith(TEST_SUFFIX)
            }
        )

    def __repr__(self) -> str:
        """Name the files and the digest."""
        return f"PolicyEngine({', '.join(self.texts)}; {self.digest[:12]})"

    @property
    def remembers(self) -> bool:
        """Whether an answer depends on nothing that changes between two calls alike."""
        return self._reads is not None

    def evaluate(self, input_json: str) -> PolicyAnswer:
        """Ask the policy about one call. What cannot be answered is denied."""
        values = _object(input_json)
        if values is None:
            return PolicyAnswer(allow=False, deny=(INPUT,))
        if self._reads is None:
            return self.ask(input_json)
        return self._remembered(question(values, self._reads))

    def ask(self, input_json: str) -> PolicyAnswer:
        """Ask the engine itself, remembering nothing; the input was looked at before."""
        answer = self._rego.ask(_QUESTION, input_json)
        if isinstance(answer, Complaint):
            return PolicyAnswer(allow=False, deny=(ERROR,))
        return _answer(cast("Mapping[str, list[object]]", answer))

    def value(self, path: str) -> object:
        """Return what is at a path that asks for no input, None where there is nothing."""
        return self._rego.look(path)

    def _check(self) -> None:
        """Ask the empty question: it must be answered, and denied.

        Raises:
            PolicyError: it is allowed, or not answered by a boolean.
        """
        for empty in ("{}", '{"agent":{},"action":"","resource":{},"approval":null,"context":{}}'):
            answer = self._rego.ask(_QUESTION, empty)
            if isinstance(answer, Complaint):
                raise PolicyError(f"policy: {answer.text}")
            values = cast("Mapping[str, list[object]]", answer)["allow"]
            if values != [False]:
                got = json.dumps(values[0]) if values else "undefined"
                raise PolicyError(
                    f"policy: {PACKAGE}.allow expected false on the input {empty}, got {got}"
                )


def read_folder(folder: Path) -> dict[str, str]:
    """Return the Rego files of a folder, tests too: name -> text.

    Raises:
        PolicyError: the folder or a file cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".rego")
    except OSError as error:
        raise _unreadable(f"folder '{folder.name}'", error) from None
    if not files:
        raise PolicyError(f"policy folder '{folder.name}': expected Rego files, got none")
    return {path.name: _read(path) for path in files}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(path.name, error) from None
    if len(data) > MAX_BYTES:
        raise PolicyError(f"policy {path.name}: expected at most {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"policy {path.name}: expected UTF-8: {error.reason}") from None


def _unreadable(what: str, error: OSError) -> PolicyError:
    return PolicyError(f"policy {what}: cannot be read: {error.strerror or error}")


def _object(text: str) -> dict[str, Any] | None:
    if len(text) > MAX_INPUT:
        return None
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_none)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member comes twice")
    return members


def _none(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def _answer(answer: Mapping[str, list[object]]) -> PolicyAnswer:
    deny = _names(answer["deny"])
    rules = _names(answer["rules"])
    if not answer["allow"]:
        return PolicyAnswer(allow=False, deny=(UNDEFINED, *deny))
    allow = answer["allow"][0]
    if not isinstance(allow, bool):
        return PolicyAnswer(allow=False, deny=(ERROR, *deny))
    # a policy may leave it to its reader that a reason against it weighs more
    allowed = allow and not deny
    return PolicyAnswer(allow=allowed, deny=deny, rules=rules if allowed else ())


def _names(values: list[object]) -> tuple[str, ...]:
    return tuple(sorted(value for value in values if isinstance(value, str)))
