"""A fresh, valid token service for each test; with a network where clients need one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iamrange.identity.names import DEFAULT_RESOURCE
from iamrange.identity.tokens.settings import TokenSettings
from tests.conformance.tokens.lab import CUSTOMERS, LOGS, House
from tests.conformance.tokens.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def strict_house() -> House:
    """Return a service that asks for its nonce in every proof."""
    return House(TokenSettings(nonce_required=True))


@pytest.fixture
def network(strict_house: House, tmp_path: Path) -> Iterator[Network]:
    running = Network(strict_house, (DEFAULT_RESOURCE, CUSTOMERS, LOGS), tmp_path)
    try:
        yield running
    finally:
        running.close()
