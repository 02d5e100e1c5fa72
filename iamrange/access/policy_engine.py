"""The policy in process: Rego by regorus, asked for `data.ai.authorization`.

- Fail closed: undefined, an error, an answer that is no boolean, an input that is no JSON object:
  each is a deny with a reason of its own.
- The input is always JSON text. Members that come twice are refused before the engine sees them:
  it would take the last, and another reader the first.
- What a policy cannot but answer again is remembered (`policy_memory.py`), and told apart by all
  that the policy can read.
- An engine of regorus belongs to the thread that made it, so each thread has its own; a
  `PolicyEngine` itself is a value that any thread may use.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import regorus  # type: ignore[import-untyped] # the wheel has no type information

from iamrange.access.policy_memory import may_be_remembered, question

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNDEFINED = "policy-undefined"
ERROR = "policy-error"
INPUT = "policy-input"

MAX_INPUT = 64 * 1024
PACKAGE = "data.ai.authorization"
TEST_SUFFIX = "_test.rego"
_MAX_POLICY = 1024 * 1024
_ENGINES_PER_THREAD = 8
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


class PolicyError(Exception):
    """A policy that cannot be taken; the text names the file, the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What the policy says: reasons against, or names of the rules that allowed."""

    allow: bool
    deny: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


class _Engines(threading.local):
    """The engines of one thread, the one used last at the end."""

    def __init__(self) -> None:
        self.by_digest: OrderedDict[str, Any] = OrderedDict()


# Of the module, not of a PolicyEngine: an engine must be dropped by the thread that made it.
_engines = _Engines()


class PolicyEngine:
    """One policy, compiled. Make it by `from_folder` or `from_texts`."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Compile the files of a policy: name -> Rego text.

        Raises:
            PolicyError: it is none, or does not deny by default.
        """
        self.texts = dict(sorted(texts.items()))
        if not any(not name.endswith(TEST_SUFFIX) for name in self.texts):
            raise PolicyError("policy: expected Rego files, got none")
        hashed = hashlib.sha256()
        for name, text in self.texts.items():
            hashed.update(json.dumps([name, text]).encode())
        self.digest = hashed.hexdigest()
        self.remembers = may_be_remembered(self.texts.values())
        self._remembered = lru_cache(_REMEMBERED)(self.ask)
        self._check()

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> PolicyEngine:
        """Compile the files of a policy: name -> Rego text.

        Raises:
            PolicyError: it is none, or does not deny by default.
        """
        return cls(texts)

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

    def evaluate(self, input_json: str) -> PolicyAnswer:
        """Ask the policy about one call. What cannot be answered is denied."""
        values = _object(input_json)
        if values is None:
            return PolicyAnswer(allow=False, deny=(INPUT,))
        return self._remembered(question(values)) if self.remembers else self.ask(input_json)

    def ask(self, input_json: str) -> PolicyAnswer:
        """Ask the engine itself, remembering nothing; the input was looked at before."""
        try:
            engine = self._engine()
            engine.set_input_json(input_json)
            answer = json.loads(engine.eval_rule_as_json(_QUESTION))
        except (RuntimeError, ValueError):
            return PolicyAnswer(allow=False, deny=(ERROR,))
        except BaseException as error:
            # what a Rust panic is raised as; it is no Exception, and would end a server
            if type(error).__name__ != "PanicException":
                raise
            _engines.by_digest.pop(self.digest, None)
            return PolicyAnswer(allow=False, deny=(ERROR,))
        return _answer(answer)

    def _engine(self) -> Any:  # noqa: ANN401 - the wheel has no type information
        engines = _engines.by_digest
        engine = engines.get(self.digest)
        if engine is None:
            engine = engines[self.digest] = self._compiled()
            while len(engines) > _ENGINES_PER_THREAD:
                engines.popitem(last=False)
        engines.move_to_end(self.digest)
        return engine

    def _compiled(self) -> Any:  # noqa: ANN401 - the wheel has no type information
        engine = regorus.Engine()
        for name, text in self.texts.items():
            try:
                engine.add_policy(name, text)
            except RuntimeError as error:
                raise PolicyError(f"policy {name}: {first_lines(error)}") from None
        engine.add_policy(_QUESTION_FILE, _QUESTION_TEXT)
        return engine

    def _check(self) -> None:
        """Ask the empty question: it must be answered, and denied.

        Raises:
            PolicyError: it is allowed, or not answered by a boolean.
        """
        engine = self._engine()
        for empty in ("{}", '{"agent":{},"action":"","resource":{},"approval":null,"context":{}}'):
            engine.set_input_json(empty)
            try:
                answer = json.loads(engine.eval_rule_as_json(_QUESTION))
            except (RuntimeError, ValueError) as error:
                raise PolicyError(f"policy: {first_lines(error)}") from None
            if answer["allow"] != [False]:
                got = json.dumps(answer["allow"][0]) if answer["allow"] else "undefined"
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
        if not files:
            raise PolicyError(f"policy {folder.name}: expected Rego files, got none")
        return {path.name: _read(path) for path in files}
    except OSError as error:
        raise PolicyError(
            f"policy {folder.name}: cannot be read: {error.strerror or error}"
        ) from None


def _read(path: Path) -> str:
    data = path.read_bytes()
    if len(data) > _MAX_POLICY:
        raise PolicyError(f"policy {path.name}: expected at most {_MAX_POLICY} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PolicyError(f"policy {path.name}: expected UTF-8: {error.reason}") from None


def first_lines(error: Exception) -> str:
    """Return what regorus says without the machine's stack: place, line, complaint."""
    text = str(error).partition("Stack backtrace")[0]
    return " ".join(
        line.strip().removeprefix("-->").strip()
        for line in text.splitlines()
        if line.strip() and not line.strip().startswith("|")
    )


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
