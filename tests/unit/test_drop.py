"""The attacker's drop: it takes everything, shows nothing, and keeps a bounded amount."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from iamrange.network.drop import Drop


def sent(drop: Drop, *chunks: bytes, query: bytes = b"") -> list[Any]:
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": n + 1 < len(chunks)}
        for n, chunk in enumerate(chunks or (b"",))
    ]
    answers: list[Any] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:  # noqa: ANN401 - any ASGI message
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/x", "query_string": query, "headers": []}
    asyncio.run(drop(scope, receive, send))
    return answers


def test_bodies_and_queries_are_kept_in_their_order_and_not_shown() -> None:
    drop = Drop()
    answers = [*sent(drop, b"one ", b"and two"), *sent(drop, query=b"d=a+%7Bb%7D")]
    assert drop.texts() == ["one and two", "d=a {b}"]
    assert {answer["status"] for answer in answers[::2]} == {202}
    assert {answer["body"] for answer in answers[1::2]} == {b"{}\n"}


def test_nothing_is_kept_of_a_request_that_brought_nothing() -> None:
    drop = Drop()
    sent(drop)
    assert drop.texts() == []


def test_of_a_flood_the_newest_is_kept_and_of_a_long_body_its_beginning() -> None:
    drop = Drop()
    for number in range(40):
        sent(drop, f"{number:02}".encode(), b"x" * 100_000)
    assert len(drop.texts()) == 8
    assert {len(text) for text in drop.texts()} == {1 << 14}
    assert drop.texts()[-1].startswith("39")


def test_a_request_that_breaks_off_is_not_kept() -> None:
    drop = Drop()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - any ASGI message
        pytest.fail(f"answered {message}")

    asyncio.run(drop({"type": "http", "query_string": b"d=1"}, receive, send))
    assert drop.texts() == []
