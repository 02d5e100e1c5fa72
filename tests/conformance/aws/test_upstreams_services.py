"""An administrator's ordinary work, in front of an emulator: what was authorised is carried out.

The walks are those of the embedded store (`test_aws_services`), in a fresh account of an
emulator that was started for the run.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.test_aws_services import (  # noqa: F401 - collected here, with our `connect`
    test_items_of_every_type_survive,
    test_key_encrypts_and_moves_what_it_encrypted,
    test_message_and_parameter_come_through,
    test_multipart_upload_and_range_and_versions,
    test_secret_of_bytes_and_its_life,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conformance.aws.emulators import Located
    from tests.conformance.aws.lab import Lab

# In no table of decisions; the walks list what an account has.
ACCOUNT = "300000000001"


@pytest.fixture(scope="module")
def connect(lab: Lab, upstream: Located | None) -> Callable[[str], Any]:
    """Return a maker of an administrator's clients."""
    if upstream is None:
        pytest.skip("the embedded store has walked in test_aws_services")
    if os.environ.get("IAMRANGE_AWS_UPSTREAM", "").startswith("http"):
        pytest.skip("the walks' names may be taken at an emulator that runs already")
    key = lab.cloud.create_account(ACCOUNT)
    keys = {
        "aws_access_key_id": key.access_key_id,
        "aws_secret_access_key": key.secret_access_key,
    }
    return lambda service: lab.client(service, **keys)
