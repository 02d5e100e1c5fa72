"""What the database decided about one login: from its answer and its log to a layer. Pure.

- The client is told the same words whether a login never was, is over, or came with the wrong
  password; the server's log tells them apart, and only what stands there is said.
- A login that was dropped and one that never was are both unknown: the database keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iamrange.core.decision import Effect, LayerAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.credentials.database.wire import Told

CONNECT: Final = "database.connect"
ACTION: Final = "database:Connect"

UNKNOWN: Final = "login-unknown"
EXPIRED: Final = "login-expired"

_DETAILS: Final = (
    ('Role "{}" does not exist.', UNKNOWN),
    ('User "{}" has an expired password.', EXPIRED),
    ('User "{}" has no password assigned.', "no-password"),
)
"""What the log says behind the words -> reason. A name is put in, so that none can pass for it."""

_CODES: Final[Mapping[str, tuple[str, str]]] = {
    "28P01": ("role", "wrong-password"),
    "28000": ("role", "may-not-log-in"),
    "3D000": ("database", "unknown-database"),
    "42501": ("database", "no-connect-privilege"),
    "53300": ("server", "too-many-connections"),
}
"""SQLSTATE -> layer and reason, where the log says no more."""

ALLOWED: Final = LayerAnswer("role", Effect.ALLOW, "password-matches")
UNREACHABLE: Final = LayerAnswer("server", Effect.DENY, "unreachable")


def refused(told: Told, entry: Mapping[str, object]) -> LayerAnswer:
    """Read one refusal. `entry` is the log's; empty where none came."""
    layer, reason = _CODES.get(told.code, ("server", "upstream-failed"))
    detail = str(entry.get("detail", ""))
    user = str(entry.get("user", ""))
    for words, meant in _DETAILS:
        if detail.startswith(words.format(user)):
            reason = meant
    if told.code == "28P01" and not entry:
        reason = "refused"  # nobody has said for what
    return LayerAnswer(layer, Effect.DENY, reason, detail=told.code)
