"""The places that `iamrange scan sprawl` reads, by what the range or a file tells of them."""

# The rooms are imported inside the functions: `--help` must not wait for the SDKs.
# ruff: noqa: PLC0415

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from iamrange.cli_console import misuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from iamrange.credentials.inventory.gather import Reader
    from iamrange.credentials.inventory.uses import Uses
    from iamrange.credentials.vault.access import VaultAccess


def cloud_readers(
    clouds: Mapping[str, Any],
    regions: Sequence[str],
    uses: Uses | None,
    agents: Mapping[str, str],
) -> list[Reader]:
    """Return the readers of clouds, as `iamrange clouds` tells of them."""
    from iamrange.credentials.inventory.aws import AccessKeyReader, AwsAccess, SecretsManagerReader
    from iamrange.credentials.inventory.google import (
        GoogleAccess,
        SecretManagerReader,
        ServiceAccountKeyReader,
    )

    readers: list[Reader] = []
    for account, key in (clouds.get("aws") or {}).get("accounts", {}).items():
        places = [
            AwsAccess(
                account=account, region=region, endpoint=clouds["aws"].get("endpoint"), key=key
            )
            for region in regions
        ]
        readers += [SecretsManagerReader(access=place, uses=uses) for place in places]
        readers.append(AccessKeyReader(access=places[0], uses=uses))
    for project, facts in (clouds.get("gcp") or {}).get("projects", {}).items():
        access = GoogleAccess(
            project=project, token=facts["access_token"], endpoint=clouds["gcp"].get("endpoint")
        )
        readers.append(SecretManagerReader(access=access, uses=uses))
        readers.append(ServiceAccountKeyReader(access=access, agents=agents, uses=uses))
    return readers


def vault_readers(
    access: VaultAccess | None, agents: Mapping[str, str], uses: Uses | None
) -> list[Reader]:
    """Return the readers of a vault; `agents` names the agent of a subject."""
    from iamrange.credentials.inventory.vault import KeyValueReader, LeaseReader, TokenReader
    from iamrange.credentials.inventory.vault_logins import LoginRoleReader

    if access is None:
        return []
    return [
        KeyValueReader(access=access, uses=uses),
        TokenReader(access=access, agents=agents, uses=uses),
        LeaseReader(access=access),
        LoginRoleReader(access=access, agents=agents),
    ]


def vault_in(clouds: Mapping[str, Any], path: Path) -> VaultAccess | None:
    """Return the vault that a file tells of beside its clouds."""
    from iamrange.credentials.vault.access import VaultAccess

    facts = clouds.get("vault")
    if not facts:
        return None
    texts = [facts.get(name) if isinstance(facts, dict) else None for name in ("address", "token")]
    if not all(isinstance(text, str) and text for text in texts):
        misuse(f"--clouds '{path}': vault expected an object of address and token")
    return VaultAccess(address=str(texts[0]), token=str(texts[1]))
