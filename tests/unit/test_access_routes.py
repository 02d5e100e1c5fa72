"""The table of routes: what every row must hold, and what is found by which call."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamrange.access.routes import (
    PUBLIC_PATHS,
    ROUTES,
    SERVICES,
    Matched,
    Route,
    RouteRefusal,
    is_public,
    match,
    scopes_of,
)
from iamrange.access.vocabulary import PRODUCTION, Action
from iamrange.identity.challenges import METADATA_PATH
from iamrange.identity.directory.field_rules import SCOPE
from iamrange.identity.directory.model import Classification

PER_ROUTE = pytest.mark.parametrize(
    "route", ROUTES, ids=lambda route: f"{route.service}-{route.method}-{route.path}"
)


def filled(route: Route) -> str:
    return re.sub(r"\{[a-z]+\}", "A1._~-z", route.path)


def test_the_six_services_are_behind_the_gateway() -> None:
    assert SERVICES == ("customers", "logs", "hr", "payments", "deployments", "telemetry")
    assert {route.service for route in ROUTES} == set(SERVICES)


@PER_ROUTE
def test_every_route_is_found_by_its_own_call(route: Route) -> None:
    found = match(route.service, route.method, filled(route))
    assert isinstance(found, Matched)
    assert found.route == route
    assert list(found.parameters) == re.findall(r"\{([a-z]+)\}", route.path)
    assert set(found.parameters.values()) <= {"A1._~-z"}


@PER_ROUTE
def test_every_scope_is_the_action_at_the_service(route: Route) -> None:
    assert SCOPE.fullmatch(route.scope)
    assert route.scope in {f"{route.action}:{route.service}", "read:database"}


@PER_ROUTE
def test_reading_is_get_and_nothing_else_is_but_execution(route: Route) -> None:
    assert (route.method == "GET") == (
        route.action is Action.READ
    ) or route.action is Action.EXECUTE


@PER_ROUTE
def test_high_impact_is_deletion_transfer_and_production(route: Route) -> None:
    production = route.action is Action.DEPLOY and route.environment == PRODUCTION
    expected = production or route.action in {Action.DELETE, Action.TRANSFER}
    assert route.high_impact is expected


def test_no_call_has_two_routes() -> None:
    calls = [(route.service, route.method, route.path) for route in ROUTES]
    assert len(calls) == len(set(calls))


def test_every_action_has_a_route() -> None:
    assert {route.action for route in ROUTES} == set(Action)


def test_every_label_is_on_some_data() -> None:
    assert {route.classification for route in ROUTES} == set(Classification)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("path", ["/records/latest", "/records/newest"])
def test_the_latest_record_is_read_by_the_scope_to_read(service: str, path: str) -> None:
    found = match(service, "GET", path)
    assert isinstance(found, Matched)
    assert found.route.action is Action.READ
    assert found.route.scope == f"read:{service}"
    assert not found.route.high_impact


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_administration_that_is_the_platforms(service: str) -> None:
    found = match(service, "POST", "/admin/commands/restart")
    assert isinstance(found, Matched)
    assert found.route.action is Action.EXECUTE
    assert found.route.project == "platform"
    assert found.parameters == {"command": "restart"}


@pytest.mark.parametrize("service", SERVICES)
def test_metadata_is_the_one_thing_that_needs_no_token(service: str) -> None:
    assert is_public(service, "GET", METADATA_PATH)
    assert not is_public(service, "POST", METADATA_PATH)
    assert not is_public(service, "GET", f"{METADATA_PATH}/")
    assert len(PUBLIC_PATHS) == len(SERVICES)
    assert match(service, "GET", METADATA_PATH) == RouteRefusal("no-route")


@pytest.mark.parametrize(
    ("service", "method", "path", "reason"),
    [
        ("customers", "GET", "/", "no-route"),
        ("customers", "GET", "", "no-route"),
        ("customers", "GET", "/records", "method-not-allowed"),
        ("customers", "GET", "/records/", "no-route"),
        ("customers", "GET", "/records//latest", "no-route"),
        ("customers", "GET", "/records/latest/", "no-route"),
        ("customers", "GET", "/records/latest\n", "no-route"),
        ("customers", "GET", "/Records/latest", "no-route"),
        ("customers", "GET", "/records/a%2fb", "no-route"),
        ("customers", "GET", "/records/a;b", "no-route"),
        ("customers", "GET", f"/records/{'a' * 129}", "no-route"),
        ("customers", "get", "/records/latest", "method-not-allowed"),
        ("customers", "HEAD", "/records/latest", "method-not-allowed"),
        ("customers", "DELETE", "/records/latest", "method-not-allowed"),
        ("customers", "POST", "/transfers", "no-route"),
        ("customers", "POST", "/deployments/production", "no-route"),
        ("deployments", "POST", "/deployments/prod", "no-route"),
        ("deployments", "POST", "/deployments/Production", "no-route"),
        ("directory", "GET", "/records/latest", "no-route"),
        ("", "GET", "/records/latest", "no-route"),
        ("Customers", "GET", "/records/latest", "no-route"),
    ],
)
def test_what_the_table_does_not_hold_is_refused(
    service: str, method: str, path: str, reason: str
) -> None:
    found = match(service, method, path)
    assert isinstance(found, RouteRefusal)
    assert found.reason == reason
    assert bool(found.methods) == (reason == "method-not-allowed")


@settings(deadline=None)
@given(
    st.sampled_from(SERVICES),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "get"]),
    st.one_of(st.text(), st.from_regex(r"/(records|admin|transfers)(/[^/]*){0,3}", fullmatch=True)),
)
def test_what_is_found_is_the_call_that_was_made(service: str, method: str, path: str) -> None:
    found = match(service, method, path)
    if isinstance(found, Matched):
        again = found.route.path
        for name, value in found.parameters.items():
            again = again.replace(f"{{{name}}}", value)
        assert (found.route.service, found.route.method, again) == (service, method, path)


def test_scopes_of_a_service_are_those_of_its_routes() -> None:
    assert scopes_of("payments") == {
        "read:payments",
        "write:payments",
        "delete:payments",
        "transfer:payments",
        "execute:payments",
    }
    assert "read:database" in scopes_of("logs")
    assert scopes_of("nowhere") == set()
