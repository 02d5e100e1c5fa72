"""A thing that is not there: None to a reader, done already to a deleter."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_ENDINGS = ("NotFound", "NotFoundException", "NotFoundFault", "DoesNotExistException", "404")


def is_missing(error: ClientError) -> bool:
    """Whether the error says that the thing does not exist."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code.startswith("NoSuch") or code.endswith(_ENDINGS)


def none_if_missing(function: Callable[P, R]) -> Callable[P, R | None]:
    """Make a reader answer None for what is not there."""

    @wraps(function)
    def read(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except ClientError as error:
            if is_missing(error):
                return None
            raise

    return read


@contextmanager
def missing_is_fine() -> Iterator[None]:
    """Take the absence of what is to be deleted for success."""
    try:
        yield
    except ClientError as error:
        if not is_missing(error):
            raise
