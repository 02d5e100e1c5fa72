"""Long-running operations: here all are done at once, and can still be asked for by name."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from iamrange.clouds.gcp.errors import not_found

if TYPE_CHECKING:
    from iamrange.clouds.gcp.state import State
    from iamrange.clouds.gcp.wire import Body


def finished(state: State, parent: str, type_name: str, response: Body) -> Body:
    """Return a finished operation that holds the response."""
    operation: Body = {
        "name": f"{parent}/operations/{uuid.uuid4().hex}".lstrip("/"),
        "done": True,
        "response": {"@type": f"type.googleapis.com/{type_name}", **response},
    }
    state.operations[operation["name"]] = operation
    return operation


def find(state: State, name: str) -> Body:
    """Return an operation by name.

    Raises:
        ApiError: 404.
    """
    operation = state.operations.get(name)
    if operation is None:
        raise not_found()
    return operation
