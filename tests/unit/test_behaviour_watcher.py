"""The watcher over many agents: who is judged, who is not, and what a flood comes to."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from iamrange.detect.behaviour import Declared, Rule
from iamrange.detect.places import NOWHERE, Places
from iamrange.detect.watcher import MAX_SEEN, StateError, Watcher
from tests.unit.behaviour_days import AGENT, DECLARED, ORDINARY, after, days


def watcher_of(count: int = 6, **options: bool) -> Watcher:
    watcher = Watcher(lambda _: DECLARED, **options)
    for call in days(count):
        watcher.see(call)
    return watcher


def test_an_accused_agent_is_accused_once_however_long_the_flood() -> None:
    watcher = watcher_of()
    flood = [replace(after(service="payments"), id=f"f{n}") for n in range(1000)]
    said = [watcher.see(call) for call in flood]
    assert [one.rule for one in said[0] if one.contains] == [
        Rule.UNDECLARED_SERVICE,
        Rule.SERVICE_NEVER_USED,
    ]
    assert not any(said[1:])
    assert watcher.counts.while_accused == 999
    assert len(watcher.accused) == 1


def test_a_released_agent_is_judged_again() -> None:
    watcher = watcher_of()
    watcher.see(after(service="payments"))
    watcher.release(AGENT)
    assert watcher.accused == {}
    assert watcher.see(replace(after(), id="ordinary")) == ()
    assert watcher.see(replace(after(service="payments"), id="again"))


def test_an_agent_that_nobody_registered_is_counted_and_has_no_baseline() -> None:
    watcher = Watcher(lambda _: None)
    assert watcher.see(ORDINARY) == ()
    assert (watcher.counts.unregistered, watcher.agents) == (1, ())


def test_without_hard_limits_only_what_was_learned_counts() -> None:
    watcher = watcher_of(hard=False)
    said = watcher.see(after(service="payments"))
    assert [one.rule for one in said] == [Rule.SERVICE_NEVER_USED]


def test_without_the_baseline_only_what_is_declared_counts() -> None:
    watcher = watcher_of(learned=False)
    assert watcher.see(after(service="hr")) == ()
    said = watcher.see(replace(after(service="payments"), id="p"))
    assert [one.rule for one in said] == [Rule.UNDECLARED_SERVICE]


def test_the_agent_not_seen_for_longest_goes_first_and_keeps_its_hard_limits() -> None:
    watcher = Watcher(lambda _: DECLARED, agents=2)
    for call in days(6):
        watcher.see(call)
    for name in ("b", "c"):
        watcher.see(replace(ORDINARY, id=name, agent=name))
    assert watcher.agents == ("b", "c")
    assert watcher.counts.evicted == 1
    assert watcher.see(after(service="hr")) == ()  # it has no history any more
    assert watcher.see(replace(after(service="payments"), id="p"))


def test_what_is_remembered_of_delivered_calls_is_bounded() -> None:
    declared = Declared(services=DECLARED.services, level=1, rate=10**9, homes=DECLARED.homes)
    watcher = Watcher(lambda _: declared)
    for number in range(MAX_SEEN + 10):
        watcher.see(replace(ORDINARY, id=str(number)))
    assert len(watcher.to_json()["seen"]) == MAX_SEEN


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"version": 3, "agents": {}},
        {"version": 2},
        {"version": 2, "agents": []},
        {"version": 1, "agents": []},
        {"version": 1, "agents": {"a": {"rates": [{}]}}},
        {**watcher_of().to_json(), "agents": {"a": {}}},
        {**watcher_of().to_json(), "accused": {"a": [{"rule": "no-rule", "evidence": []}]}},
        {**watcher_of().to_json(), "counts": {"other": 1}},
    ],
)
def test_a_state_that_is_none_is_refused_and_changes_nothing(broken: dict[str, object]) -> None:
    watcher = watcher_of()
    before = watcher.to_json()
    with pytest.raises(StateError, match=r"^state: expected"):
        watcher.take(broken)
    assert watcher.to_json() == before


def test_a_state_of_the_first_version_is_taken_and_its_new_window_begins_without_history() -> None:
    watcher, busy = watcher_of(0), replace(DECLARED, rate=10**6)
    for call in days(10, a_minute=1):
        for second in range(30):
            again = replace(call, time=call.time + second)
            watcher.baseline(AGENT).see(again, busy, learned=True)
    value = watcher.to_json()
    value["version"] = 1
    for agent in value["agents"].values():
        agent["rates"] = [agent["rates"]["60"], agent["rates"]["3600"]]
    fresh = watcher_of()
    fresh.take(json.loads(json.dumps(value)))
    baseline = fresh.baseline(AGENT)
    assert [rate.overall.count for rate in baseline.rates] == [29, 0, 29]
    assert baseline.mature
    ordinary = [replace(after(), id=f"n{n}", time=after().time + n) for n in range(30)]
    assert not [s for c in ordinary for s in baseline.see(c, busy, learned=True) if s.contains]


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("127.10.0.1", "corporate"),
        ("127.66.0.1", "outside"),
        ("127.0.0.1", "this machine"),
        ("10.1.2.3", "a private network"),
        ("8.8.4.4", "8.8.0.0/16"),
        ("2a00:1450:4001::5", "2a00:1450:4001::/48"),
        ("2001:db8::1", "an example"),
        ("::ffff:127.10.0.1", "corporate"),
        ("::ffff:7f0a:1", "corporate"),
        ("::ffff:8.8.4.4", "8.8.0.0/16"),
        ("64:ff9b::8.8.4.4", "8.8.0.0/16"),
        ("64:ff9b::10.1.2.3", "a private network"),
        ("fe80::1%eth0", "a link"),
        ("2a00:1450:4001::5%eth0", "2a00:1450:4001::/48"),
        ("::", "::/48"),
        ("127.10.0.1:443", NOWHERE),
        ("[::1]", NOWHERE),
        ("127.010.0.1", NOWHERE),
        ("127.10.0.1\x00", NOWHERE),
        ("%", NOWHERE),
        ("", NOWHERE),
        ("not an address", NOWHERE),
    ],
)
def test_the_longest_prefix_names_the_place(address: str, place: str) -> None:
    places = Places({"127.10.0.1/32": "corporate", "127.66.0.0/16": "outside"})
    assert places.place(address) == place
