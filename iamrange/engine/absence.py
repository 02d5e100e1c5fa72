"""A thing that is not there: None to a reader, done already to a deleter."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Exception)


class Absence(Generic[E]):
    """How one API says that a thing does not exist."""

    def __init__(self, error: type[E], missing: Callable[[E], bool]) -> None:
        """Take the API's error, and what tells whether it says so."""
        self._error = error
        self._missing = missing

    def none(self, function: Callable[P, R]) -> Callable[P, R | None]:
        """Make a reader answer None for what is not there."""

        @wraps(function)
        def read(*args: P.args, **kwargs: P.kwargs) -> R | None:
            try:
                return function(*args, **kwargs)
            except self._error as error:
                if self._missing(error):
                    return None
                raise

        return read

    @contextmanager
    def is_fine(self) -> Iterator[None]:
        """Take the absence of what is to be deleted for success."""
        try:
            yield
        except self._error as error:
            if not self._missing(error):
                raise
