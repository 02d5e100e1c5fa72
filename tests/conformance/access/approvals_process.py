"""Another process that works on the same approvals.

    python approvals_process.py URL consume ID...     each id once, when told to start
    python approvals_process.py URL live              asks, has approved and uses, until killed

Each line on stdout is printed after the store answered, so what it says must last.
"""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace

from iamrange.access.approvals.model import ApprovalRequest
from iamrange.access.approvals.settings import ApprovalSettings
from iamrange.access.approvals.sql_store import SqlApprovalStore
from tests.conformance.access.approvals_lab import NOW, TRANSFER, Lab


def tell(*what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - what the test reads


def consume(lab: Lab, *ids: str) -> None:
    tell("ready")
    sys.stdin.readline()
    for each in ids:
        tell(each, lab.approvals.consume(each, NOW))


def live(lab: Lab) -> None:
    for number in itertools.count():
        request = lab.asked(replace(TRANSFER, body=json.dumps({"n": number}).encode()))
        tell("asked", request.id)
        decided = lab.approvals.decide(request.id, lab.signed(request))
        assert isinstance(decided, ApprovalRequest), decided
        assert decided.decision is not None
        tell("approved", request.id, decided.decision.jws)
        if lab.approvals.consume(request.id, NOW):
            tell("used", request.id)


if __name__ == "__main__":
    url, what, *arguments = sys.argv[1:]
    settings = ApprovalSettings(prompts=10**9)
    opened = Lab(SqlApprovalStore(url), settings=settings)
    if what == "consume":
        consume(opened, *arguments)
    else:
        live(opened)
