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


def organization_tags(client: Any, identifier: str) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    """Return the tags of a thing of AWS Organizations."""
    return tag_map(client.list_tags_for_resource(ResourceId=identifier).get("Tags"))


def retag_in_organization(client: Any, change: Change) -> None:  # noqa: ANN401 - a boto3 client
    """Bring the tags of a thing of AWS Organizations to the wanted ones."""
    retag(
        change,
        lambda tags: client.tag_resource(ResourceId=change.identifier, Tags=tags),
        lambda keys: client.untag_resource(ResourceId=change.identifier, TagKeys=keys),
    )
