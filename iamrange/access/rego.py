"""Rego in process, by regorus: files in, the values of rules out.

- An engine of regorus belongs to the thread that made it, also when it is dropped: each thread has
  its own, and no exception's traceback may hold on to one (the garbage collector runs anywhere).
- What goes wrong comes back as a value, and a complaint names file and line.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import regorus  # type: ignore[import-untyped] # the wheel has no type information

from iamrange.access.rego_data import as_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_ENGINES_PER_THREAD = 8
MAX_BYTES = 1024 * 1024
_LIMITS = {"max_col": 16 * 1024, "max_file_bytes": MAX_BYTES, "max_lines": 100_000}


class PolicyError(Exception):
    """A policy that cannot be taken; the text names the file, the line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the engine says of a question that it did not answer."""

    text: str


class _Engines(threading.local):
    """The engines of one thread, the one used last at the end."""

    def __init__(self) -> None:
        self.by_digest: OrderedDict[str, Any] = OrderedDict()


# Of the module, so that each thread drops its own engines, when it has too many or ends.
_engines = _Engines()


class Rego:
    """Some files of Rego, compiled once in each thread that asks. A value to everybody else."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Compile the files: name -> text.

        Raises:
            PolicyError: one is no Rego.
        """
        self._texts = dict(sorted(texts.items()))
        hashed = hashlib.sha256()
        for name, text in self._texts.items():
            hashed.update(json.dumps([name, text]).encode())
        self.digest = hashed.hexdigest()
        self._rules, data = as_data(self._texts)
        self._data = json.dumps(data)
        complaint = self._prepare()
        if complaint:
            raise PolicyError(f"policy {complaint}")

    def ask(self, rule: str, input_json: str = "{}") -> object:
        """Return a rule's value for an input, or a `Complaint`."""
        return self._asked(lambda engine: engine.eval_rule_as_json(rule), input_json)

    def look(self, path: str) -> object:
        """Return what is at a path, rule or data, None where there is nothing."""
        found: Any = self._asked(lambda engine: engine.eval_query_as_json(path), "{}")
        if isinstance(found, Complaint) or not found["result"]:
            return None
        return found["result"][0]["expressions"][0]["value"]

    def _asked(self, question: Callable[[Any], str], input_json: str) -> object:
        try:
            complaint = self._prepare()
            if complaint:
                return Complaint(complaint)
            engine = _engines.by_digest[self.digest]
            engine.set_input_json(input_json)
            return json.loads(question(engine))
        except (RuntimeError, ValueError) as error:
            return Complaint(_first_lines(error))
        except BaseException as error:
            # what a panic of the engine is raised as; it is no Exception, and would end a server
            if type(error).__name__ != "PanicException":
                raise
            _engines.by_digest.pop(self.digest, None)
            return Complaint("the engine broke")

    def _prepare(self) -> str:
        """Have an engine of this thread ready; return what is wrong with the files, or nothing."""
        engines = _engines.by_digest
        if self.digest in engines:
            engines.move_to_end(self.digest)
            return ""
        engine = regorus.Engine()
        engine.set_policy_length_config(**_LIMITS)
        engine.add_data_json(self._data)
        for name, text in self._rules.items():
            try:
                engine.add_policy(name, text)
            except RuntimeError as error:
                return f"{name}: {_first_lines(error)}"
        engines[self.digest] = engine
        while len(engines) > _ENGINES_PER_THREAD:
            engines.popitem(last=False)
        return ""


def _first_lines(error: Exception) -> str:
    """Return what regorus says without the machine's stack: place, line, complaint."""
    text = str(error).partition("Stack backtrace")[0]
    return " ".join(
        line.strip().removeprefix("-->").strip()
        for line in text.splitlines()
        if line.strip() and not line.strip().startswith("|")
    )
