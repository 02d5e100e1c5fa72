"""The support agent: it answers a customer's question, and does whatever its documents say.

A deterministic stand-in for a language model with tools. It never asks what it is allowed to do:
its blast radius is what identity and access management leave it.

- Its planner is pure (`support_llm_plan`); this loop performs what was planned, and reads each
  answer as one more document, down to a depth.
- Everything that it did and was answered is in the transcript; no credential is.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from scenarios.support_llm_calls import (
    BOUNDS,
    DOMAIN,
    FILLED,
    LATEST,
    Bounds,
    Carries,
    Document,
    Tool,
    ToolCall,
    http,
)
from scenarios.support_llm_plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DAILY_WORK = http("GET", f"https://customers.{DOMAIN}{LATEST}", because="the customer's question")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool came back with: a text, or a stable word for why there is none."""

    status: int | None = None
    text: str = field(default="", repr=False)
    refused: str | None = None
    request_id: str | None = None
    token_refused: str | None = None
    """The token service's word, where it gave no token for the service that was called."""
    token_request_id: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the call did what was asked."""
        return self.refused is None


class Tools(Protocol):
    """Performs calls. It never raises: whatever goes wrong is an answer."""

    def perform(self, call: ToolCall) -> Answer:
        """Perform one call, whose body is what is to be sent."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One call that was performed, and what came of it. Depth 0 is the documents' own."""

    call: ToolCall
    answer: Answer
    depth: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that the agent did, in order; the first step is its daily work."""

    steps: tuple[Step, ...]
    left_undone: int = 0
    """Calls that were asked for beyond the bounds."""

    @property
    def reply(self) -> str:
        """What the customer is told."""
        first = self.steps[0].answer
        return first.text if first.ok else f"not available: {first.refused}"

    def answers(self) -> tuple[str, ...]:
        """Return every text that the agent got hold of beyond its daily work."""
        return tuple(step.answer.text for step in self.steps[1:] if step.answer.ok)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def work(
    documents: Iterable[Document | str],
    tools: Tools,
    *,
    bounds: Bounds = BOUNDS,
    clock: Callable[[], float] = time.monotonic,
) -> Transcript:
    """Answer the customer's question, and do what the documents and then the answers say."""
    given = [d if isinstance(d, Document) else Document("", d) for d in documents]
    deadline = clock() + bounds.seconds
    steps = [Step(DAILY_WORK, _bounded(tools.perform(DAILY_WORK), bounds), 0)]
    waiting = deque((call, 0) for call in plan(given, bounds))
    # What a customer has written into a record is read like any other document.
    waiting.extend((call, 1) for call in plan([steps[0].answer.text], bounds))
    seen = {DAILY_WORK}
    left_undone = 0
    while waiting:
        call, depth = waiting.popleft()
        if depth > bounds.depth or len(steps) > bounds.calls or clock() > deadline:
            left_undone += 1
            continue
        if depth and call in seen:
            continue  # an answer that asks for itself would go on until the bounds
        seen.add(call)
        answer = _bounded(tools.perform(_filled_in(call, given, steps, bounds)), bounds)
        steps.append(Step(call, answer, depth))
        if answer.ok and call.tool is not Tool.SEND:
            waiting.extend((one, depth + 1) for one in plan([answer.text], bounds))
    return Transcript(tuple(steps), left_undone)


def _bounded(answer: Answer, bounds: Bounds) -> Answer:
    return replace(answer, text=answer.text[: bounds.answer_characters])


def _filled_in(
    call: ToolCall, documents: Iterable[Document], steps: list[Step], bounds: Bounds
) -> ToolCall:
    """Put what a call takes along into its body, or into the gap in its address."""
    answers = [step.answer.text for step in steps if step.answer.ok]
    carried = {
        Carries.NOTHING: [],
        Carries.LAST: answers[-1:],
        Carries.ALL: answers,
        Carries.SEEN: [*(document.text for document in documents), *answers],
    }[call.carries]
    text = "\n".join(carried)[: bounds.answer_characters]
    if call.carries is Carries.NOTHING:
        return call
    if FILLED.search(call.url):
        gap = quote(text[: bounds.address_characters], safe="")
        return replace(call, url=FILLED.sub(lambda _: gap, call.url))
    return replace(call, body=text)
