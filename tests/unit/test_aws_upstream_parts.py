"""The parts of upstreams that need no socket: waiting in greenlets, policies kept here, gaps."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.clouds.aws.model import AwsRequest, HttpRequest
from iamrange.clouds.aws.upstream_gaps import UpstreamKind, gaps, kept_here
from iamrange.clouds.aws.upstream_overlay import BucketPolicies, Incarnation
from iamrange.clouds.aws.upstream_waiting import memo, waited, waiting

if TYPE_CHECKING:
    from collections.abc import Awaitable

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def answer(value: str, seconds: float = 0.0) -> str:
    await asyncio.sleep(seconds)
    return value


async def failure() -> str:
    await asyncio.sleep(0)
    raise LookupError("not there")


def test_synchronous_code_waits_for_an_awaitable() -> None:
    def plan(first: str, *, second: str) -> str:
        return waited(answer(first)) + waited(answer(second))

    assert asyncio.run(waiting(plan, "a", second="b")) == "ab"


def test_what_an_awaitable_raises_is_raised_where_it_is_waited_for() -> None:
    def plan() -> str:
        try:
            return waited(failure())
        except LookupError as error:
            return f"caught: {error}"

    assert asyncio.run(waiting(plan)) == "caught: not there"
    with pytest.raises(LookupError):
        asyncio.run(waiting(lambda: waited(failure())))


def test_plans_take_turns_and_keep_what_is_theirs() -> None:
    order: list[str] = []

    def plan(name: str) -> str:
        VARIABLE.set(name)
        memo()["name"] = name
        order.extend(waited(answer(name)) for _ in range(3))
        assert (VARIABLE.get(), memo()) == (name, {"name": name})
        return name

    async def both() -> tuple[str, str]:
        return await asyncio.gather(waiting(plan, "a"), waiting(plan, "b"))

    assert tuple(asyncio.run(both())) == ("a", "b")
    assert order == ["a", "b"] * 3
    assert memo() == {}


def test_cancelled_plan_is_unwound() -> None:
    unwound: list[str] = []

    def plan() -> str:
        try:
            return waited(answer("never", 60))
        finally:
            unwound.append("yes")

    async def cancel() -> None:
        task = asyncio.create_task(waiting(plan))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert unwound == ["yes"]


def test_waiting_inside_waiting_has_a_memory_of_its_own() -> None:
    async def inner() -> str:
        return await waiting(lambda: f"{memo().get('x')}{waited(answer('b'))}")

    def plan() -> str:
        memo()["x"] = "a"
        return waited(inner()) + str(memo()["x"])

    assert asyncio.run(waiting(plan)) == "Noneba"


def test_waiting_for_nobody_is_a_mistake() -> None:
    unawaited: Awaitable[str] = answer("x")
    with pytest.raises(RuntimeError, match="outside of waiting"):
        waited(unawaited)


def request(operation: str, **parameters: Any) -> AwsRequest:  # noqa: ANN401 - an operation's own
    http = HttpRequest(
        method="GET", raw_path="/b", query="", headers=(), body=b"", scheme="http", peer="127.0.0.1"
    )
    return AwsRequest(
        service="s3",
        operation=operation,
        parameters={"Bucket": "b", **parameters},
        region="us-east-1",
        account="100000000001",
        request_id="id",
        protocol="rest-xml",
        http=http,
        source_ip="127.0.0.1",
        secure=False,
        user_agent="",
        now=0.0,
    )


FIRST, SECOND = Incarnation("100000000001", "1"), Incarnation("100000000001", "2")


def test_policy_is_kept_for_one_bucket_and_not_for_its_name() -> None:
    kept = BucketPolicies()
    put = kept.answer(request("PutBucketPolicy", Policy="{}"), lambda _: FIRST)
    assert put is not None
    assert put.status == 204
    got = kept.answer(request("GetBucketPolicy"), lambda _: FIRST)
    assert got is not None
    assert got.body == b"{}"
    assert kept.policy("b", FIRST) == "{}"
    for other in (SECOND, Incarnation("200000000001", "1")):
        assert kept.policy("b", other) is None
        assert kept.answer(request("GetBucketPolicy"), lambda _, other=other: other) is None  # type: ignore[misc]  # the default binds the loop's value
    assert kept.answer(request("DeleteBucketPolicy"), lambda _: FIRST) is None
    assert kept.policy("b", FIRST) is None


def test_calls_that_are_about_no_policy_are_the_emulators() -> None:
    def unasked(_: str) -> Incarnation | None:
        raise AssertionError("nobody needs to know")

    assert BucketPolicies().answer(request("GetObject", Key="k"), unasked) is None


def test_gaps_are_listed_once_each_with_what_happens() -> None:
    listed = [(gap.upstream, gap.operation) for gap in gaps()]
    assert listed
    assert len(set(listed)) == len(listed)
    for gap in gaps():
        assert gap.upstream is not UpstreamKind.UNKNOWN
        assert gap.kept in ("authorizer", "embedded", "nobody")
        assert gap.what
        assert gap.since[0].isdigit()
    assert kept_here(UpstreamKind.MOTO, "s3:PutBucketPolicy")
    assert not kept_here(UpstreamKind.LOCALSTACK, "s3:PutBucketPolicy")
