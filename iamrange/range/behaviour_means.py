"""By what an accused agent is cut off in a world, and how a human lets it work again.

- The directory's quarantine ends its tokens (the epoch rises) and gives it no new ones, no
  certificate, no assertion for a cloud; the gateway refuses it by its state.
- AWS: sessions cannot be taken back, so the role denies all that were issued until now. The policy
  stays after a release: it is about those sessions, and no others. AWS tells moments of issue apart
  by whole seconds; until the next one begins, a session that is new is taken for an old one.
- Google: the service account is disabled, and enabled again when the agent is released.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.containment import MeansError
from iamrange.range.processes import ProcessError
from iamrange.range.world import CommandRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.range.deployment import Deployment
    from iamrange.range.world import World

POLICY_NAME: Final = "AWSRevokeOlderSessions"
"""What the console's own button calls it."""

_SECONDS: Final = 30.0
_TIMEOUT: Final = 20


class DirectoryMeans:
    """Quarantine in the world's directory."""

    name = "directory"

    def __init__(self, world: World) -> None:
        """Take the world."""
        self._world = world

    def cut(self, agent: str) -> str:
        """Quarantine the agent.

        Raises:
            MeansError: the directory did not.
        """
        self._change(agent, "quarantine")
        return "quarantined; its tokens are dead, its certificates withdrawn, and it gets none"

    def restore(self, agent: str) -> str:
        """Release the agent.

        Raises:
            MeansError: the directory did not.
        """
        self._change(agent, "release")
        return "released"

    def _change(self, agent: str, transition: str) -> None:
        try:
            self._world.change_agent(agent, transition)
        except (CommandRefusedError, ProcessError) as error:
            raise MeansError(str(error)) from error


class CloudMeans:
    """The clouds' own means, in a process that has their SDKs."""

    name = "clouds"

    def __init__(self, deployment: Deployment) -> None:
        """Take the deployment: it says which role and account are an agent's."""
        self._deployment = deployment
        self._facts = {facts["spiffe_id"]: facts for facts in deployment.stage.agents.values()}

    def cut(self, agent: str) -> str:
        """End the agent's sessions in both clouds.

        Raises:
            MeansError: a cloud did not.
        """
        return self._ask("cut_sessions", agent)

    def restore(self, agent: str) -> str:
        """Let the agent have sessions again.

        Raises:
            MeansError: a cloud did not.
        """
        return self._ask("restore_sessions", agent)

    def _ask(self, function: str, agent: str) -> str:
        facts = self._facts.get(agent)
        if facts is None:
            return "it has nothing in the clouds"
        world = self._deployment.world
        project = self._deployment.landing.project
        try:
            child = self._deployment.tools.zygote.spawn(
                f"{__name__}:{function}",
                {
                    "spec": {
                        "aws_endpoint": world.aws_endpoint,
                        "aws_key": dict(world.aws_keys[facts["aws_account"]]),
                        "region": self._deployment.landing.region,
                        "role": facts["aws_role_arn"].rpartition("/")[2],
                        "until": _next_second(float(world.describe()["clock_offset"])),
                        "gcp_endpoint": world.gcp_endpoint,
                        "gcp_token": world.gcp_tokens[project],
                        "account": f"projects/{project}/serviceAccounts/"
                        + facts["gcp_service_account"],
                    }
                },
                name="containment in the clouds",
            )
            try:
                answer = child.receive(_SECONDS)
                child.wait(_SECONDS)
            finally:
                child.close()
        except (ProcessError, CommandRefusedError) as error:
            raise MeansError(f"clouds: {error}") from error
        if not isinstance(answer, dict) or "done" not in answer:
            failed = answer.get("failed") if isinstance(answer, dict) else "no answer"
            raise MeansError(f"clouds: {failed}")
        return str(answer["done"])


def _next_second(offset: float) -> str:
    moment = math.floor(datetime.now(UTC).timestamp() + offset) + 1
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cut_sessions(spec: Mapping[str, Any]) -> dict[str, str]:
    """Have both clouds end an agent's sessions; one that fails does not keep the other from it."""
    return _both(spec, _revoke_older, "disable")


def restore_sessions(spec: Mapping[str, Any]) -> dict[str, str]:
    """Enable the agent's service account; on AWS there is nothing to undo."""
    return _both(spec, lambda _: "", "enable")


def _both(spec: Mapping[str, Any], on_aws: Any, on_google: str) -> dict[str, str]:  # noqa: ANN401 - a function
    done, failed = [], []
    for name, act in (("AWS", on_aws), ("Google", lambda told: _switch_account(told, on_google))):
        try:
            done.append(act(spec))
        except Exception as error:  # noqa: BLE001 - the type says it: a text could hold a secret
            failed.append(f"{name}: {type(error).__name__}")
    if failed:
        return {"failed": "; ".join(failed)}
    return {"done": "; ".join(filter(None, done))}


def _revoke_older(spec: Mapping[str, Any]) -> str:
    import boto3  # noqa: PLC0415 - the range's own process needs no SDK

    iam = boto3.client(
        "iam",
        endpoint_url=spec["aws_endpoint"],
        region_name=spec["region"],
        aws_access_key_id=spec["aws_key"]["access_key_id"],
        aws_secret_access_key=spec["aws_key"]["secret_access_key"],
    )
    statement = {
        "Effect": "Deny",
        "Action": ["*"],
        "Resource": ["*"],
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": spec["until"]}},
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName=spec["role"], PolicyName=POLICY_NAME, PolicyDocument=document)
    return f"role {spec['role']} denies sessions from before {spec['until']}"


def _switch_account(spec: Mapping[str, Any], verb: str) -> str:
    import requests  # noqa: PLC0415 - same

    answer = requests.post(
        f"{spec['gcp_endpoint']}/v1/{spec['account']}:{verb}",
        headers={"Authorization": f"Bearer {spec['gcp_token']}"},
        timeout=_TIMEOUT,
    )
    answer.raise_for_status()
    return f"service account {verb}d"
