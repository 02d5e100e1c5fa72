"""The harness searches what a world wrote for the secrets that it knows: none may be in there.

- Known are: the administrators' keys, every planted value, every agent's own keys and tokens, and
  what the attacker had taken.
- Searched are: decision records, Envoy's logs, the vault's, the world's own, what actors' processes
  said, the services' log, and what the trial itself says, of which reports are made.
- A scenario that takes the control away has its log left out, and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from iamrange.core.decision import record_to_json
from iamrange.core.secrets_controls import REDACTION
from iamrange.identity.agent import KEY_FILE
from iamrange.identity.agent_home import AWS_TOKEN, CLIENT_SECRET, GOOGLE_TOKEN, VAULT_TOKEN
from iamrange.range.written import LIES_NOWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from iamrange.core.decision import DecisionRecord
    from iamrange.core.verdict import Judgement, Legitimate
    from iamrange.range.deployment import Deployment

_LEAST: Final = 16
"""Characters: what is shorter is a word, and no secret of a world's."""

_LOGS: Final = ("*.jsonl", "*.log", "**/envoy*.log*", "**/openbao.log", "actors/*/std*")
_IDS: Final = frozenset(
    {"access_key_id", "user", "method", "url", "approval_id", "used_approval_id"}
)
"""What is taken along with a secret, and is none."""


def known_secrets(world: Deployment, taken: Mapping[str, Any]) -> dict[str, str]:
    """Return what must not be written down anywhere: secret -> what it is."""
    found: dict[str, str] = {}
    for account, key in world.world.aws_keys.items():
        found[key["secret_access_key"]] = f"the administrator's key of AWS account {account}"
    for project, token in world.world.gcp_tokens.items():
        found[token] = f"the administrator's token of project {project}"
    for asset, value in world.canaries.items():
        if asset.kind not in LIES_NOWHERE:
            found[value] = f"the value of {asset}"
    for part, home in world.homes.items():
        found[str(json.loads((home / KEY_FILE).read_bytes())["d"])] = f"the key of {part}"
        for name in (CLIENT_SECRET, AWS_TOKEN, GOOGLE_TOKEN, VAULT_TOKEN):
            if (home / name).exists():
                found[(home / name).read_text().strip()] = f"{name} of {part}"
    for name, value in _texts(taken):
        found[value] = f"what the attacker had taken: {name}"
    return {secret: what for secret, what in found.items() if len(secret) >= _LEAST}


def leaked(world: Deployment, secrets: Mapping[str, str], said: Iterable[str]) -> str | None:
    """Return where one of these secrets is written down and which; None if none is.

    `said` are the trial's own words.

    Raises:
        OSError: a log cannot be read.
        ProcessError: the world does not answer.
    """
    for place, text in _written(world, said):
        for secret, what in secrets.items():
            if secret.encode() in text:
                return f"{place} holds {what}"
    return None


def words_of(
    judgement: Judgement, records: Iterable[DecisionRecord], work: Iterable[Legitimate]
) -> Iterator[str]:
    """Yield what a trial says, as reports tell it."""
    yield json.dumps(asdict(judgement))
    yield from (json.dumps(record_to_json(record)) for record in records)
    yield from (json.dumps(asdict(one)) for one in work)


def _written(world: Deployment, said: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    folder = world.world.folder
    for path in sorted({*_files(folder), *_files(world.world.sockets)}):
        yield f"log '{path.name}'", path.read_bytes()
    if REDACTION.id not in world.off:
        yield "the services' log", str(world.world.control("service_log")).encode()
    for words in said:
        yield "the report", words.encode()


def _files(folder: Path) -> Iterator[Path]:
    return (path for pattern in _LOGS for path in folder.glob(pattern) if path.is_file())


def _texts(taken: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in taken.items():
        if isinstance(value, dict):
            yield from _texts(value)
        elif isinstance(value, str) and name not in _IDS and name != "folder":
            yield name, _core(value)


def _core(value: str) -> str:
    """Return the part of a taken thing that is secret: of a private JWK its private member."""
    try:
        key = json.loads(value)
    except ValueError:
        return value
    return str(key["d"]) if isinstance(key, dict) and "d" in key else value
