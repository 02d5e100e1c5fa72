"""By what an accused agent is cut off in a world, and how a human lets it work again.

- The directory's quarantine ends its tokens (the epoch rises) and gives it no new ones, no
  certificate, no assertion for a cloud; the gateway refuses it by its state.
- AWS: sessions cannot be taken back, so the role denies all that were issued until now. The policy
  stays after a release: it is about those sessions, and no others. AWS tells moments of issue apart
  by whole seconds; until the next one begins, a session that is new is taken for an old one.
- Google: the service account is disabled, and enabled again when the agent is released.
- The vault: the agent's identity is disabled there, so that no login of its works, and its tokens
  are revoked with all that hangs on them. A release enables the identity; it logs in anew.
- What is done in a cloud or a vault is done by the hands that serve unmanaged identities as well.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iamrange.detect.containment import MeansError
from iamrange.detect.cut import CutError
from iamrange.range.processes import ProcessError
from iamrange.range.world import CommandRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iamrange.detect.cut_vault import VaultHand
    from iamrange.range.deployment import Deployment
    from iamrange.range.world import World

_SECONDS: Final = 30.0


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
            until = _next_second(float(world.describe()["clock_offset"]))
        except (ProcessError, CommandRefusedError) as error:
            raise MeansError(f"clouds: {error}") from error
        spec = {
            "aws_endpoint": world.aws_endpoint,
            "aws_account": facts["aws_account"],
            "aws_key": dict(world.aws_keys[facts["aws_account"]]),
            "role": facts["aws_role_arn"].rpartition("/")[2],
            "until": until,
            "gcp_endpoint": world.gcp_endpoint,
            "gcp_token": world.gcp_tokens[project],
            "project": project,
            "account": facts["gcp_service_account"],
        }
        return _asked(self._deployment, self.name, function, spec)


class VaultMeans:
    """The vault's own means: identities and tokens, in a process that has an HTTP client."""

    name = "vault"

    def __init__(self, deployment: Deployment) -> None:
        """Take the deployment: its stack has a vault, or has none."""
        self._deployment = deployment

    def cut(self, agent: str) -> str:
        """End the agent's logins at the vault, and let it have no other.

        Raises:
            MeansError: the vault did not.
        """
        return self._ask("cut_at_vault", agent)

    def restore(self, agent: str) -> str:
        """Let the agent log in again.

        Raises:
            MeansError: the vault did not.
        """
        return self._ask("release_at_vault", agent)

    def _ask(self, function: str, agent: str) -> str:
        if not self._deployment.stage.vault:
            return "there is no vault"
        world = self._deployment.world
        spec = {"endpoint": world.vault_endpoint, "token": world.vault_token, "agent": agent}
        return _asked(self._deployment, self.name, function, spec)


def _asked(deployment: Deployment, name: str, function: str, spec: Mapping[str, Any]) -> str:
    """Have a function of this module done in a process of its own; return what it did.

    Raises:
        MeansError: it was not done.
    """
    try:
        child = deployment.tools.zygote.spawn(
            f"{__name__}:{function}", {"spec": dict(spec)}, name=f"containment: {name}"
        )
        try:
            answer = child.receive(_SECONDS)
            child.wait(_SECONDS)
        finally:
            child.close()
    except (ProcessError, CommandRefusedError) as error:
        raise MeansError(f"{name}: {error}") from error
    if not isinstance(answer, dict) or "done" not in answer:
        failed = answer.get("failed") if isinstance(answer, dict) else "no answer"
        raise MeansError(f"{name}: {failed}")
    return str(answer["done"])


def _next_second(offset: float) -> str:
    moment = math.floor(datetime.now(UTC).timestamp() + offset) + 1
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cut_sessions(spec: Mapping[str, Any]) -> dict[str, str]:
    """Have both clouds end an agent's sessions; one that fails does not keep the other from it."""
    from iamrange.detect.cut_clouds import AwsHand  # noqa: PLC0415 - the range's needs no SDK

    on_aws = AwsHand(
        endpoint=spec["aws_endpoint"],
        keys={spec["aws_account"]: spec["aws_key"]},
        users=False,
        until=spec["until"],
    )
    role = f"{spec['aws_account']}/{spec['role']}"
    return _all({"AWS": lambda: on_aws.cut(role), "Google": lambda: _on_google(spec, "cut")})


def restore_sessions(spec: Mapping[str, Any]) -> dict[str, str]:
    """Enable the agent's service account; on AWS there is nothing to undo."""
    return _all({"Google": lambda: _on_google(spec, "release")})


def _on_google(spec: Mapping[str, Any], verb: str) -> str:
    from iamrange.detect.cut_clouds import GoogleHand  # noqa: PLC0415 - same

    hand = GoogleHand(endpoint=spec["gcp_endpoint"], tokens={spec["project"]: spec["gcp_token"]})
    return str(getattr(hand, verb)(spec["account"]))


def cut_at_vault(spec: Mapping[str, Any]) -> dict[str, str]:
    """Disable the agent's identity at the vault, and revoke its tokens."""
    return _all({"vault": lambda: _at_vault(spec).cut(spec["agent"])})


def release_at_vault(spec: Mapping[str, Any]) -> dict[str, str]:
    """Let the agent log in at the vault again."""
    return _all({"vault": lambda: _at_vault(spec).release(spec["agent"])})


def _at_vault(spec: Mapping[str, Any]) -> VaultHand:
    from iamrange.detect.cut_vault import VaultHand  # noqa: PLC0415 - same

    return VaultHand(endpoint=spec["endpoint"], token=spec["token"])


def _all(acts: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    done, failed = [], []
    for name, act in acts.items():
        try:
            done.append(act())
        except CutError as error:
            failed.append(f"{name}: {error}")
        except Exception as error:  # noqa: BLE001 - the type says it: a text could hold a secret
            failed.append(f"{name}: {type(error).__name__}")
    if failed:
        return {"failed": "; ".join(failed)}
    return {"done": "; ".join(filter(None, done))}
