"""From the database's words to a layer and a reason."""

from __future__ import annotations

import pytest

from iamrange.core.controls import CONTROLS
from iamrange.core.decision import Effect
from iamrange.credentials.database import decisions, wire

FAILED = wire.Told("28P01", 'password authentication failed for user "one"')
CONTROL = CONTROLS["secrets.dynamic-database-credentials"]
AFTER = '\nConnection matched file "pg_hba.conf" line 1: "local all all scram-sha-256"'


@pytest.mark.parametrize(
    ("detail", "reason", "is_the_control"),
    [
        ('Role "one" does not exist.' + AFTER, "login-unknown", True),
        ('User "one" has an expired password.' + AFTER, "login-expired", True),
        ('User "one" has no password assigned.' + AFTER, "no-password", False),
        (AFTER, "wrong-password", False),
        # a name that says something else stands behind another word of the server's
        ('Role "two" has an expired password.', "wrong-password", False),
    ],
)
def test_log_tells_apart_what_the_client_is_told_alike(
    detail: str, reason: str, *, is_the_control: bool
) -> None:
    answer = decisions.refused(FAILED, {"user": "one", "detail": detail})
    assert (answer.layer, answer.effect, answer.reason) == ("role", Effect.DENY, reason)
    assert CONTROL.refusal.is_answer(decisions.CONNECT, answer) is is_the_control


def test_refusal_that_nobody_explains_is_no_proof() -> None:
    answer = decisions.refused(FAILED, {})
    assert answer.reason == "refused"
    assert not CONTROL.refusal.is_answer(decisions.CONNECT, answer)


@pytest.mark.parametrize(
    ("code", "layer", "reason"),
    [
        ("28000", "role", "may-not-log-in"),
        ("3D000", "database", "unknown-database"),
        ("42501", "database", "no-connect-privilege"),
        ("53300", "server", "too-many-connections"),
        ("57P03", "server", "upstream-failed"),
        ("", "server", "upstream-failed"),
    ],
)
def test_other_codes_are_other_layers(code: str, layer: str, reason: str) -> None:
    answer = decisions.refused(wire.Told(code, "words"), {})
    assert (answer.layer, answer.reason, answer.detail) == (layer, reason, code)
