"""Findings as SARIF 2.1.0 (OASIS), for code hosts and CI.

- `partialFingerprints` has the keyed hash: a code host follows a finding when lines move.
- What could not be read is a notification of the run, so that it is in the log too.
"""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any, Final

import iamrange
from iamrange.credentials.scan.finding import shown
from iamrange.credentials.scan.rules import RULE_OF, RULES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from iamrange.credentials.scan.finding import Finding, Scan

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_INDEX: Final = {rule.id: number for number, rule in enumerate(RULES)}


def log(
    scan: Scan,
    known: Collection[Finding] = (),
    live: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """Return a SARIF log of a scan. `known` are in the baseline; `live` is by a value's hash."""
    old = {(f.rule, *f.key) for f in known}
    run = {
        "tool": {"driver": _driver()},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {
                        "level": "warning",
                        "message": {"text": f"not read: {one.reason.value} {shown(one.detail)}"},
                        "locations": [{"physicalLocation": _file(one.path)}],
                    }
                    for one in sorted(scan.not_read)
                ],
            }
        ],
        "results": [
            _result(f, (live or {}).get(f.value), known=(f.rule, *f.key) in old)
            for f in scan.findings
        ],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _driver() -> dict[str, Any]:
    return {
        "name": "iamrange",
        "version": iamrange.__version__,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.summary},
                "defaultConfiguration": {"level": rule.level.value},
                "properties": {"source": rule.source, "tags": ["security", "CWE-798"]},
            }
            for rule in RULES
        ],
    }


def _result(finding: Finding, live: Mapping[str, str] | None, *, known: bool) -> dict[str, Any]:
    rule, place = RULE_OF[finding.rule], finding.place
    properties: dict[str, Any] = {"more": finding.more, "encoded": finding.encoded}
    if place.commit:
        properties |= {"commit": place.commit, "date": place.date}
    if live is not None:
        properties["live"] = dict(live)
    location: dict[str, Any] = {
        "physicalLocation": {**_file(place.path), "region": {"startLine": place.line}}
    }
    if place.member:
        name = shown(place.member)
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "member"}]
    return {
        "ruleId": rule.id,
        "ruleIndex": _INDEX[rule.id],
        "level": rule.level.value,
        "message": {"text": message_of(finding)},
        "locations": [location],
        "partialFingerprints": {"iamrangeKeyedHash/v1": finding.value},
        "baselineState": "unchanged" if known else "new",
        "properties": properties,
    }


def message_of(finding: Finding) -> str:
    """Say what was found, in a sentence without the secret."""
    hint = f", beginning with {finding.hint}" if finding.hint else ""
    commit = (
        f" It is in the history since {finding.place.commit[:12]}." if finding.place.commit else ""
    )
    summary = RULE_OF[finding.rule].summary.rstrip(".")
    return f"{summary}{hint}. Value {finding.value[:12]} (keyed hash).{commit}"


def _file(path: str) -> dict[str, Any]:
    uri = urllib.parse.quote(path.encode("utf-8", "surrogateescape"), safe="/")
    return {"artifactLocation": {"uri": uri}}
