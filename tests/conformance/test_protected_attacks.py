"""Every attack on a protected resource, over real HTTP, gets its own verdict: on every store."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from iamrange.identity.stores.memory import MemoryReplay, MemoryRevocation
from iamrange.identity.stores.redis_stores import RedisReplay, RedisRevocation
from iamrange.identity.stores.sql import SqlReplay, SqlRevocation
from tests.conformance.protected_attacks import CASES, ROWS
from tests.conformance.protected_lab import NOW, RESOURCE, Answer, Lab, serving
from tests.conformance.store_servers import postgres_server, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.protected_cases import Case

STORES = ["memory", "sqlite", "postgresql", "redis"]


@pytest.fixture(scope="module", params=STORES)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if request.param == "memory":
        with serving(Lab(MemoryReplay(), MemoryRevocation(now=lambda: NOW))) as served:
            yield served
        return
    if request.param == "sqlite":
        yield from on_database(f"sqlite:///{tmp_path_factory.mktemp('rs') / 'stores.db'}")
        return
    if request.param == "postgresql":
        with postgres_server() as server:
            yield from on_database(server.get_uri())
        return
    with redis_server() as found:
        yield from on_redis(found.url)


def on_database(url: str) -> Iterator[Lab]:
    replay, revocation = SqlReplay(url), SqlRevocation(url, now=lambda: NOW)
    with serving(Lab(replay, revocation)) as served:
        yield served
    replay.close()
    revocation.close()


def on_redis(url: str) -> Iterator[Lab]:
    replay, revocation = RedisReplay(url), RedisRevocation(url, now=lambda: NOW)
    with serving(Lab(replay, revocation)) as served:
        yield served
    replay.close()
    revocation.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_attack_gets_its_verdict(case: Case, lab: Lab) -> None:
    assert failure(case, lab) is None


def failure(case: Case, lab: Lab) -> str | None:
    """Why the verdict on this case is wrong, or None."""
    sent = case.build(lab)
    answer = lab.send(sent)
    expected = case.verdict
    if (answer.status, answer.error) != (expected.status, expected.error):
        return f"expected {expected}, got {answer.status} {answer.error!r}"
    # what a client is told: a nonce always, and nothing of what it sent
    if len(answer.values("DPoP-Nonce")) != 1:
        return "no nonce in the answer"
    if leaked := [value for _, value in sent.headers if _secret(value) in answer.text]:
        return f"{len(leaked)} of what was sent is in the answer"
    if expected.status == 200:
        return None
    if problem := challenge_problem(answer, expected.error):
        return problem
    record = lab.record_of(answer)
    if record.reason != expected.reason:
        return f"expected reason {expected.reason!r}, got {record.reason!r}"
    refusing = [layer.layer for layer in record.layers if layer.refuses]
    if refusing[0] != expected.layer:
        return f"expected layer {expected.layer!r}, got {refusing}"
    if any(_secret(value) in repr(record) for _, value in sent.headers):
        return "something that was sent is in the record"
    return None


def _secret(value: str) -> str:
    """Some of a token or proof that must come back nowhere; of other headers, nothing."""
    return max(value.split("."), key=len)[:40] if len(value) > 120 else "\0"


def challenge_problem(answer: Answer, error: str) -> str | None:
    challenges = answer.values("WWW-Authenticate")
    if answer.status not in (400, 401, 403):
        return None if not challenges else "a challenge where there is nothing to do"
    schemes = sorted(challenge.partition(" ")[0] for challenge in challenges)
    if schemes != ["Bearer", "DPoP"]:
        return f"challenges for {schemes}"
    metadata = f'resource_metadata="{RESOURCE}/.well-known/oauth-protected-resource"'
    if not all(metadata in challenge for challenge in challenges):
        return "a challenge without the metadata's address"
    if not any(c.startswith("DPoP ") and 'algs="ES256"' in c for c in challenges):
        return "no algs"
    told = [challenge for challenge in challenges if f'error="{error}"' in challenge]
    if len(told) != (1 if error else 0):
        return f"the error stands in {len(told)} challenges"
    return None


def test_every_row_has_its_cases_and_no_two_cases_share_a_name() -> None:
    assert {case.row for case in CASES} - {0} == ROWS
    assert [name for name, count in Counter(case.id for case in CASES).items() if count > 1] == []
    # vacuity: what is admitted stands beside what is refused
    assert {200, 400, 401, 403, 431} == {case.verdict.status for case in CASES}


def test_of_64_replays_at_once_exactly_one_is_admitted(lab: Lab) -> None:
    sent = lab.call(lab.token())
    gate = Barrier(64)

    def replay(_: int) -> Answer:
        gate.wait()
        return lab.send(sent)

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(replay, range(64)))
    assert Counter(answer.status for answer in answers) == {200: 1, 401: 63}
    refused = [answer for answer in answers if answer.status == 401]
    assert {answer.error for answer in refused} == {"invalid_dpop_proof"}
    assert {lab.record_of(answer).reason for answer in refused} == {"replayed"}


def test_a_form_without_a_token_reaches_the_app_whole(lab: Lab) -> None:
    token = lab.token()
    call = lab.call(token, lab.proof(token, htm="POST"), method="POST", body="page=2&size=10")
    form = ("Content-Type", "application/x-www-form-urlencoded")
    answer = lab.send(type(call)((*call.headers, form), call.method, call.target, call.body))
    assert answer.status == 200
    assert b'"body":"page=2&size=10"' in answer.body


def test_the_metadata_says_what_the_resource_asks(lab: Lab) -> None:
    answer = lab.send(type(lab.call("x", "y"))((), target="/.well-known/oauth-protected-resource"))
    assert answer.status == 200
    assert b'"resource":"https://logs.iamrange.example"' in answer.body
    assert b'"authorization_servers":["https://auth.iamrange.example"]' in answer.body
    assert b'"dpop_signing_alg_values_supported":["ES256"]' in answer.body
