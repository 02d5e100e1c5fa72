"""Policies that services keep in a form of their own, as the policy language has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from iamrange.clouds.aws.protocol import strict_json

if TYPE_CHECKING:
    from collections.abc import Sequence


def joined(documents: Sequence[str]) -> str | None:
    """Return one document with the statements of all, as for an account's logs; None of none.

    A statement's Sid is unique in its own document only, so it is not kept.
    """
    statements = [
        {key: value for key, value in one.items() if key != "Sid"}
        for text in documents
        for one in _statements(json.loads(text))
    ]
    if not statements:
        return None
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def of_one_resource(text: str) -> str:
    """Return a document whose statements have no Resource, because they are the resource's own.

    What is no such document comes back as it is, for the grammar to refuse.
    """
    try:
        document = strict_json(text.encode())
        if not isinstance(document, dict):
            return text
        statements = [
            one if {"Resource", "NotResource"} & set(one) else {**one, "Resource": "*"}
            for one in _statements(document)
        ]
    except (ValueError, TypeError, KeyError, RecursionError):
        return text
    return json.dumps({**document, "Statement": statements})


def _statements(document: Any) -> list[dict[str, Any]]:  # noqa: ANN401  # a JSON object
    found = document["Statement"]
    return found if isinstance(found, list) else [found]
