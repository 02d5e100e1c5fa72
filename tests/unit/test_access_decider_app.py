"""The decision service's face against whatever comes: one answer, no 500, no wrong 200."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.access.decide import Decision, decide
from iamrange.access.decision_app import HEARD_AS_503, DecisionApp
from iamrange.access.evidence import Principal
from tests.conformance.access.decision_evidence import ENTRY, GOOD
from tests.conformance.access.decision_lab import Gateway

SECRET = "s" * 43
EDGE = (b"x-iamrange-edge", SECRET.encode())
HOST = (b"host", b"customers.iamrange.example")
STATUSES = {400, 401, 403, 404, 405, 413, 414, 421, 429, 431, HEARD_AS_503}
GATEWAY = Gateway()
TOKEN = GATEWAY.token()


class Fixed:
    """A decider that has decided."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def decide(self, _: Any) -> Decision:  # noqa: ANN401 - a call
        return self.decision


def ask(scope: dict[str, Any], *bodies: bytes, decider: Any = None) -> tuple[int, bytes]:  # noqa: ANN401 - stands for a decider
    """Return the one answer to a request."""
    sent: list[dict[str, Any]] = []
    unread = list(bodies) or [b""]

    async def receive() -> dict[str, Any]:
        part = unread.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(unread)}

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's own
        sent.append(message)

    app = DecisionApp(decider or GATEWAY.decider, SECRET, body_bytes=64)
    asyncio.run(app(scope, receive, send))
    start, body = sent
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    lengths = [value for name, value in start["headers"] if name == b"content-length"]
    assert lengths == [str(len(body["body"])).encode()]
    for _, value in start["headers"]:
        assert b"\r" not in value
        assert b"\n" not in value
    return int(start["status"]), body["body"]


def scope(*headers: tuple[bytes, bytes], **changed: Any) -> dict[str, Any]:  # noqa: ANN401 - members
    return {
        "type": "http",
        "method": "GET",
        "raw_path": b"/records/latest",
        "query_string": b"",
        "headers": [EDGE, HOST, *headers],
        **changed,
    }


NAMES = st.sampled_from(
    [
        *(b"authorization", b"dpop", b"approval-id", b"host", b"cookie", b"content-type"),
        *(b"x-forwarded-for", b"x-forwarded-client-cert", b"x-request-id", b"user-agent"),
        *(b"x-iamrange-target", b"x-envoy-auth-partial-body", b"x-http-method", b"X-Iamrange-Edge"),
    ]
)
VALUES = st.binary(max_size=40) | st.sampled_from(
    [b"DPoP " + TOKEN.encode(), b"Bearer " + TOKEN.encode(), b"true", b"/records/latest", b"*"]
)


@given(
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    method=st.sampled_from(["GET", "POST", "TRACE", "get", ""]),
    path=st.binary(max_size=30) | st.just(b"/records/latest"),
    query=st.binary(max_size=20),
    bodies=st.lists(st.binary(max_size=40), max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_one_refusal(
    headers: list[tuple[bytes, bytes]],
    method: str,
    path: bytes,
    query: bytes,
    bodies: list[bytes],
) -> None:
    asked = scope(*headers, method=method, raw_path=path, query_string=query)
    status, body = ask(asked, *bodies)
    assert status in STATUSES
    told = json.loads(body)
    assert told["reason"]
    assert TOKEN not in body.decode()


@given(
    where=st.sampled_from(["authorization", "dpop", "path"]),
    position=st.floats(0, 1, exclude_max=True),
    other=st.sampled_from("AZaz09-_.=~ %/\0"),
)
@settings(max_examples=200, deadline=None)
def test_a_good_call_with_one_character_changed_is_refused(
    where: str, position: float, other: str
) -> None:
    call = GATEWAY.call(token=TOKEN)
    parts = {"authorization": TOKEN, "dpop": call.dpop[0], "path": call.target}
    text = parts[where]
    index = int(position * len(text))
    if text[index] == other:
        return
    parts[where] = text[:index] + other + text[index + 1 :]
    asked = scope(
        (b"authorization", f"DPoP {parts['authorization']}".encode()),
        (b"dpop", parts["dpop"].encode()),
        raw_path=parts["path"].encode(),
    )
    status, _ = ask(asked)
    assert status in STATUSES
    good = scope(
        (b"authorization", f"DPoP {TOKEN}".encode()),
        (b"dpop", GATEWAY.call(token=TOKEN).dpop[0].encode()),
    )
    assert ask(good)[0] == 200


@given(
    header=st.sampled_from(["authorization", "dpop", "host", "x-iamrange-edge"]),
    copies=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_a_good_call_with_a_header_missing_or_twice_is_refused(header: str, copies: int) -> None:
    call = GATEWAY.call(token=TOKEN)
    headers = [
        EDGE,
        HOST,
        (b"authorization", f"DPoP {TOKEN}".encode()),
        (b"dpop", call.dpop[0].encode()),
    ]
    (one,) = [pair for pair in headers if pair[0] == header.encode()]
    rest = [pair for pair in headers if pair is not one]
    status, _ = ask(scope(headers=[*rest, *[one] * copies]))
    assert (status == 200) == (copies == 1)


@given(roles=st.frozensets(st.text(max_size=12), max_size=3))
@settings(max_examples=100, deadline=None)
def test_what_a_role_is_called_ends_no_header(roles: frozenset[str]) -> None:
    entry = replace(ENTRY, roles=roles)
    decision = decide(replace(GOOD, principals=(Principal(ENTRY.id, entry),)))

    assert ask(scope(), decider=Fixed(decision))[0] == 200
