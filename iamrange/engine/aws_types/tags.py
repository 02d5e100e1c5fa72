"""AWS tags: lists of Key and Value on the wire, maps in Pulumi."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.engine.resource import Change, Properties, Tagging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TAGGING: Final = Tagging()
TAG_OUTPUTS: Final = frozenset({"tagsAll"})


def tag_list(inputs: Properties) -> list[dict[str, str]]:
    """Return all tags of a resource as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in (inputs.get("tagsAll") or {}).items()]


def tag_map(tags: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    """Return the tags as a map, without those that AWS itself keeps."""
    return {t["Key"]: t["Value"] for t in tags or [] if not t["Key"].startswith("aws:")}


def retag(
    change: Change,
    tag: Callable[[list[dict[str, str]]], object],
    untag: Callable[[list[str]], object],
) -> None:
    """Bring a resource's tags from the old state to the wanted ones."""
    if not change.changed & {"tags", "tagsAll"}:
        return
    old, new = change.old.get("tagsAll") or {}, change.new.get("tagsAll") or {}
    gone = sorted(old.keys() - new.keys())
    if gone:
        untag(gone)
    added = [{"Key": k, "Value": v} for k, v in new.items() if old.get(k) != v]
    if added:
        tag(added)
