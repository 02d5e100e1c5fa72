"""What lies around of an agent in one world: its repository, its configuration, a decoy in each.

- With the control off the victim's own key is there too: in a commit that the next one takes back,
  or in the configuration of its tools. That is how it happens.
- The decoy is a key of the same kind that opens nothing. Who searches and finds it has searched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from typing import TYPE_CHECKING

from iamrange.core.clock import SystemClock
from iamrange.core.decision import DecisionRecord, Effect, LayerAnswer, Outcome
from iamrange.core.scenario import Material
from iamrange.core.secrets_controls import NO_HARD_CODED_CREDENTIALS, SEARCHED
from iamrange.credentials.scan import run as scan_run
from iamrange.identity.agent import KEY_FILE
from iamrange.jose import SigningKey
from iamrange.range.work import FootholdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.core.scenario import Foothold
    from iamrange.range.deployment import Deployment

WHERE: Mapping[Material, str] = {
    Material.REPOSITORY: "repository",
    Material.CONFIGURATION: "configuration",
}
"""The folder of each kind, in a world's own."""

_NOTHING_ELSE = "nothing-but-the-decoy"


class LyingAround:
    """What an attacker copies of a victim, and the decoy that a search of it must find."""

    def __init__(self, world: Deployment, foothold: Foothold) -> None:
        """Write it down.

        Raises:
            FootholdError: there is no git to make a repository with.
            OSError: it cannot be written.
        """
        self.folder = world.world.folder / WHERE[foothold.takes]
        self.folder.mkdir()
        decoy = SigningKey.generate().private_jwk()
        own = json.loads((world.homes[foothold.victim] / KEY_FILE).read_bytes())
        self.decoy, self._own = str(decoy["d"]), str(own["d"])
        self._history = foothold.takes is Material.REPOSITORY
        lapsed = NO_HARD_CODED_CREDENTIALS.id in world.off
        if self._history:
            self._repository(decoy, own if lapsed else None)
        else:
            self._configuration(decoy, own if lapsed else None)

    def searched(self) -> DecisionRecord | None:
        """Search as an operator does; return that there is the decoy alone, as a record.

        Raises:
            FootholdError: not even the decoy is found: the search says nothing.
        """
        key = os.urandom(32)
        options = scan_run.Options(
            paths=(str(self.folder),), key=key, history=self._history, keep=True
        )
        scan = scan_run.run(options)
        found = {secret for secret, _ in scan.secrets.values()}
        if self.decoy not in found:
            raise FootholdError(f"'{self.folder.name}': the search does not find the decoy")
        if self._own in found:
            return None
        detail = f"{scan.files} files, {scan.blobs} blobs: one key, which is the decoy"
        answer = LayerAnswer("search", Effect.DENY, _NOTHING_ELSE, detail=detail)
        return DecisionRecord(
            request_id=str(uuid.uuid4()),
            time=SystemClock().now(),
            point=SEARCHED,
            action="repository:Search",
            resource=self.folder.name,
            principal="",
            outcome=Outcome.DENY,
            reason=_NOTHING_ELSE,
            layers=(answer,),
        )

    def _repository(self, decoy: Mapping[str, object], own: Mapping[str, object] | None) -> None:
        self._git("init", "--quiet")
        (self.folder / "agent.py").write_text('KEY_FILE = os.environ["IAMRANGE_AGENT_HOME"]\n')
        fixture = self.folder / "fixtures"
        fixture.mkdir()
        (fixture / "key.json").write_text(json.dumps(decoy, indent=2))
        self._commit("begin")
        if own is not None:
            (self.folder / "agent.py").write_text(f"KEY = {json.dumps(json.dumps(own))}\n")
            self._commit("make it work")
            (self.folder / "agent.py").write_text('KEY_FILE = os.environ["IAMRANGE_AGENT_HOME"]\n')
        (self.folder / "README").write_text("The key is read from the agent's home.\n")
        self._commit("read the key from the home")

    def _configuration(self, decoy: Mapping[str, object], own: Mapping[str, object] | None) -> None:
        server: dict[str, object] = {"command": "agent-tools", "args": ["--verbose"]}
        if own is not None:
            server["env"] = {"AGENT_KEY": json.dumps(own)}
        (self.folder / "mcp.json").write_text(json.dumps({"mcpServers": {"tools": server}}))
        (self.folder / "example.json").write_text(json.dumps({"key": decoy}, indent=2))

    def _commit(self, message: str) -> None:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)

    def _git(self, *arguments: str) -> None:
        git = shutil.which("git")
        if git is None:
            raise FootholdError("git is not on PATH: expected it to make a repository")
        plain = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        who = {f"GIT_{role}_{what}": "agent@iamrange.example"
               for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
        settings = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [git, "-C", str(self.folder), *arguments],
            env=plain | who | settings,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise FootholdError(f"git {arguments[0]}: {done.stderr.strip()[:200]}")
