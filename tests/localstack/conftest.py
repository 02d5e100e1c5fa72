"""LocalStack, started for these tests from an environment of its own: `make test-localstack`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from iamrange.clouds.aws.upstream_gaps import UpstreamKind
from tests.conformance.aws.emulators import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

_ASKED_FOR = ("IAMRANGE_AWS_UPSTREAM", "IAMRANGE_LOCALSTACK_VENV")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these out of a run that does not ask for LocalStack: it is another environment."""
    if any(os.environ.get(name) for name in _ASKED_FOR):
        return
    left_out = pytest.mark.skip(reason="LocalStack is not asked for: make test-localstack")
    for item in items:
        if "tests/localstack" in item.path.as_posix():
            item.add_marker(left_out)


@pytest.fixture(scope="session")
def localstack() -> Iterator[Emulator]:
    """A LocalStack of this run."""
    running = Emulator(UpstreamKind.LOCALSTACK)
    yield running
    running.stop()
