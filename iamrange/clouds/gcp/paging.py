"""Lists in pages, as every list method of the API gives them (google.aip.dev/158)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iamrange.clouds.gcp.errors import invalid_argument
from iamrange.clouds.gcp.filters import parse_filter

if TYPE_CHECKING:
    from iamrange.clouds.gcp.wire import Body, Call


def page(call: Call, name: str, items: list[Body], *, filtered: bool = False) -> Body:
    """Return the page that is asked for; `filtered` lists take a filter and tell their size.

    Raises:
        ApiError: 400, or 501 for a filter of a form that is not served.
    """
    if filtered and (text := call.query.get("filter")):
        wanted = parse_filter(text)
        items = [item for item in items if wanted(item)]
    try:
        start = int(call.query.get("pageToken") or 0)
        size = int(call.query.get("pageSize") or 0) or len(items)
    except ValueError as error:
        raise invalid_argument("Invalid page token or size.") from error
    if start < 0 or size < 0:
        raise invalid_argument("Invalid page token or size.")
    answer: Body = {"totalSize": len(items)} if filtered else {}
    if chosen := items[start : start + size]:
        answer[name] = chosen
    if start + size < len(items):
        answer["nextPageToken"] = str(start + size)
    return answer
