"""Measure AWS decisions a second on one core, beside `@cloud-copilot/iam-simulate`.

- The fixture: an agent's role session with three identity policies of eight statements, a
  boundary, an SCP and a session policy, all compiled once; a round is one request of each kind.
- The peer runs warm in one node process, on the same fixture, right after. It is AGPL: a
  development-only subprocess, installed by npm outside the checkout, never part of the product.
- Verdicts are compared too: a fast wrong answer is worth nothing.

Run as `python -m bench.decide [SECONDS]`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from iamrange.clouds.aws.decide import (
    PolicyKind,
    PolicySet,
    Principal,
    Request,
    compile_policy,
    decide,
)

PEER = "@cloud-copilot/iam-simulate"
ACCOUNT = "100000000002"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/agents/analyst"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/analyst/run-1"
SECRETS = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:agents"
INSTALL_SECONDS = 300


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _statement(effect: str, action: Any, resource: Any, condition: Any = None) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    statement = {"Effect": effect, "Action": action, "Resource": resource}
    return statement if condition is None else {**statement, "Condition": condition}


def fixture() -> dict[str, Any]:
    """Return policies and requests as JSON."""
    own_team = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    network = {"IpAddress": {"aws:SourceIp": ["127.10.0.0/16", "10.0.0.0/8"]}}
    read = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    table = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/customers"
    secrets = _document(
        _statement("Allow", read, f"{SECRETS}/analyst/*"),
        _statement("Allow", read, f"{SECRETS}/shared/*", own_team),
        _statement("Allow", "secretsmanager:List*", "*"),
        _statement("Deny", "secretsmanager:*", f"{SECRETS}/admin/*"),
        _statement("Deny", "secretsmanager:Delete*", "*"),
        _statement("Allow", "secretsmanager:PutSecretValue", f"{SECRETS}/analyst/*", network),
        _statement(
            "Deny",
            "secretsmanager:*",
            "*",
            {"DateGreaterThan": {"aws:CurrentTime": "2099-01-01T00:00:00Z"}},
        ),
        _statement("Allow", "secretsmanager:TagResource", "*", own_team),
    )
    data = _document(
        _statement("Allow", ["s3:Get*", "s3:List*"], ["arn:aws:s3:::data-*", "arn:aws:s3:::d/*"]),
        _statement(
            "Allow", "s3:PutObject", "arn:aws:s3:::data-${aws:PrincipalTag/team}/*", network
        ),
        _statement("Deny", "s3:Delete*", "*"),
        _statement("Allow", ["dynamodb:GetItem", "dynamodb:Query"], table),
        _statement("Deny", "dynamodb:Scan", "*"),
        _statement("Allow", "kms:Decrypt", "*", {"Bool": {"aws:SecureTransport": "true"}}),
        _statement(
            "Deny", "s3:*", "arn:aws:s3:::*/secret/*", {"Null": {"aws:PrincipalTag/team": "true"}}
        ),
        _statement("Allow", "s3:ListAllMyBuckets", "*"),
    )
    rest = _document(
        _statement("Allow", ["iam:Get*", "iam:List*"], "*"),
        _statement("Deny", ["iam:Create*", "iam:Put*", "iam:Attach*"], "*"),
        _statement("Allow", "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/agents/*"),
        _statement("Allow", "sqs:SendMessage", f"arn:aws:sqs:*:{ACCOUNT}:agents-*"),
        _statement("Allow", "sns:Publish", f"arn:aws:sns:*:{ACCOUNT}:agents-*"),
        _statement("Allow", "ssm:GetParameter*", f"arn:aws:ssm:*:{ACCOUNT}:parameter/agents/*"),
        _statement("Deny", "*", "*", {"BoolIfExists": {"aws:SecureTransport": "false"}}),
        _statement("Allow", "logs:PutLogEvents", "*"),
    )
    boundary = _document(
        _statement("Allow", ["secretsmanager:*", "s3:*", "dynamodb:*", "iam:Get*"], "*"),
        _statement("Deny", "iam:*", "*", {"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}}),
    )
    scp = _document(
        _statement("Allow", "*", "*"),
        _statement("Deny", ["iam:CreateAccessKey", "iam:CreateUser"], "*"),
        _statement("Deny", "organizations:LeaveOrganization", "*"),
    )
    session = _document(
        _statement("Allow", ["secretsmanager:*", "s3:Get*", "dynamodb:*", "iam:*"], "*")
    )
    context = {
        "aws:CurrentTime": "2026-11-25T15:00:00Z",
        "aws:EpochTime": "1795618800",
        "aws:PrincipalArn": ROLE,
        "aws:PrincipalAccount": ACCOUNT,
        "aws:PrincipalTag/team": "blue",
        "aws:RequestedRegion": "us-east-1",
        "aws:SecureTransport": "true",
        "aws:SourceIp": "127.10.0.1",
        "aws:userid": "AROAEXAMPLEEXAMPLE:run-1",
        "aws:UserAgent": "bench",
    }
    tagged = {**context, "aws:ResourceTag/team": "blue"}
    other = {**context, "aws:ResourceTag/team": "red"}
    requests = [
        ("secretsmanager:GetSecretValue", f"{SECRETS}/analyst/db-AbCdEf", context),
        ("secretsmanager:GetSecretValue", f"{SECRETS}/neighbour/db-AbCdEf", context),
        ("secretsmanager:GetSecretValue", f"{SECRETS}/shared/db-AbCdEf", tagged),
        ("secretsmanager:GetSecretValue", f"{SECRETS}/shared/db-AbCdEf", other),
        ("secretsmanager:GetSecretValue", f"{SECRETS}/admin/db-AbCdEf", context),
        ("s3:GetObject", "arn:aws:s3:::data-blue/reports/2026.csv", context),
        ("s3:PutObject", "arn:aws:s3:::data-blue/reports/2026.csv", context),
        ("dynamodb:Query", table, context),
        ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/mallory", context),
        ("iam:GetRole", ROLE, context),
    ]
    return {
        "identity": {"secrets": secrets, "data": data, "rest": rest},
        "boundary": boundary,
        "scp": scp,
        "session": session,
        "account": ACCOUNT,
        "principal": SESSION,
        "requests": [
            {"action": action, "resource": resource, "context": keys}
            for action, resource, keys in requests
        ],
    }


def measure(data: dict[str, Any], seconds: float) -> tuple[float, list[bool]]:
    """Return decisions a second and the verdicts of one round."""
    policies = PolicySet(
        identity=tuple(
            compile_policy(document, kind=PolicyKind.IDENTITY, name=name)
            for name, document in data["identity"].items()
        ),
        boundary=compile_policy(data["boundary"], kind=PolicyKind.BOUNDARY, name="boundary"),
        scps=((compile_policy(data["scp"], kind=PolicyKind.SCP, name="scp"),),),
        session=(compile_policy(data["session"], kind=PolicyKind.SESSION, name="session"),),
    )
    principal = Principal("assumed-role", SESSION, ROLE, ACCOUNT)
    requests = [
        Request(item["action"], item["resource"], principal, ACCOUNT, item["context"])
        for item in data["requests"]
    ]
    verdicts = [decide(request, policies).outcome.value == "allow" for request in requests]
    rounds, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for request in requests:
            decide(request, policies)
        rounds += 1
    return rounds * len(requests) / (time.perf_counter() - start), verdicts


def _peer_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "iamrange" / "bench"


def _installed(folder: Path) -> str | None:
    """Install the peer once; return why it cannot be used, or None."""
    if shutil.which("node") is None:
        return "node is not installed"
    if (folder / "node_modules" / PEER).is_dir():
        return None
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", PEER]
    try:
        done = subprocess.run(command, capture_output=True, timeout=INSTALL_SECONDS, check=False)  # noqa: S603 (fixed command)
    except subprocess.TimeoutExpired:
        return f"npm did not install it in {INSTALL_SECONDS} s"
    return None if done.returncode == 0 else "npm could not install it"


def measure_peer(data: dict[str, Any], seconds: float) -> tuple[float, list[bool]] | str:
    """Return the peer's decisions a second and verdicts, or why there are none."""
    folder = _peer_folder()
    missing = _installed(folder)
    if missing is not None:
        return missing
    script = Path(__file__).with_name("decide_peer.mjs")
    node = shutil.which("node") or "node"
    done = subprocess.run(  # noqa: S603 (our own script)
        [node, str(script), str(folder), str(seconds)],
        input=json.dumps(data),
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        return f"it failed: {done.stderr.strip().splitlines()[-1:]}"
    answer = json.loads(done.stdout)
    return float(answer["rate"]), [bool(verdict) for verdict in answer["verdicts"]]


def main() -> None:
    """Print both rates, their ratio, and where the verdicts differ."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    data = fixture()
    rate, verdicts = measure(data, seconds)
    out = sys.stdout.write
    out(f"decide: {rate:,.0f} decisions/s/core ({sum(verdicts)} of {len(verdicts)} allowed)\n")
    peer = measure_peer(data, seconds)
    if isinstance(peer, str):
        out(f"{PEER}: not measured, {peer}\n")
        return
    peer_rate, peer_verdicts = peer
    out(f"{PEER}: {peer_rate:,.0f} decisions/s/core (warm, one node process)\n")
    out(f"ratio: {rate / peer_rate:.1f}\n")
    for request, ours, theirs in zip(data["requests"], verdicts, peer_verdicts, strict=True):
        if ours is not theirs:
            out(f"verdicts differ: {request['action']} {request['resource']}: {ours} {theirs}\n")


if __name__ == "__main__":
    main()
