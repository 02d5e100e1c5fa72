"""A thing that is not there: None to a reader, done already to a deleter."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from iamrange.engine.vault_types.session import VaultApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")


def none_if_missing(function: Callable[P, R]) -> Callable[P, R | None]:
    """Make a reader answer None for what is not there."""

    @wraps(function)
    def read(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except VaultApiError as error:
            if error.absent:
                return None
            raise

    return read


@contextmanager
def missing_is_fine() -> Iterator[None]:
    """Take the absence of what is to be deleted for success."""
    try:
        yield
    except VaultApiError as error:
        if not error.absent:
            raise
