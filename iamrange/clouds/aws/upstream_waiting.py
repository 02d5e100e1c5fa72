"""Wait for the network inside synchronous code, without threads: greenlets on the one event loop.

- Planners are plain functions that look resources up. Over HTTP a lookup must wait, and everybody
  else must not: the plan runs in a greenlet, and a lookup hands its awaitable to the coroutine
  around it. (SQLAlchemy's asyncio extension works the same way.)
- What one plan has looked up is remembered until it ends, never longer.
- The embedded store never comes here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def waiting(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a synchronous function that may use `waited`."""
    outside: Any = getcurrent()
    inside: Any = greenlet(function, outside)
    # Without this the function would not see its task's context variables.
    inside.gr_context = outside.gr_context
    inside.memo = {}
    handed: Any = inside.switch(*args, **kwargs)
    while not inside.dead:
        try:
            value = await handed
        except BaseException:  # noqa: BLE001 - it is raised where the function waits, cancellation too
            handed = inside.throw(*sys.exc_info())
        else:
            handed = inside.switch(value)
    result: _T = handed
    return result


def waited(awaitable: Awaitable[_T]) -> _T:
    """Return what an awaitable returns, from inside a function that `waiting` calls.

    Raises:
        RuntimeError: nobody awaits outside.
    """
    current: Any = getcurrent()
    if not hasattr(current, "memo"):
        close = getattr(awaitable, "close", None)
        if close is not None:
            close()
        raise RuntimeError("waited() outside of waiting()")
    result: _T = current.parent.switch(awaitable)
    return result


def memo() -> dict[Any, Any]:
    """Return what the function that `waiting` calls has remembered; nothing outside of one."""
    known: dict[Any, Any] = getattr(getcurrent(), "memo", {})
    return known
