"""The agent's credential helper, which SDKs run: `python -m iamrange.identity.agent_credentials`.

    aws       a 15-minute session from the broker, as boto3's `credential_process` reads it
    gcp       an assertion, as google-auth's executable source reads it
    token     an assertion for --audience, bare
    project   write the token files that the file-sourced configurations read

- What it prints on standard output is the credential; everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from iamrange.identity.agent import AgentIdentity, AgentIdentityError
from iamrange.identity.names import ASSERTION_LIFE

_JWT = "urn:ietf:params:oauth:token-type:jwt"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="agent_credentials", description=__doc__)
    parser.add_argument("what", choices=("aws", "gcp", "token", "project"))
    parser.add_argument("--home", default=os.environ.get("IAMRANGE_AGENT_HOME"))
    parser.add_argument("--audience", help="the assertion's audience (token; gcp has a default)")
    parser.add_argument("--policy", help="a session policy for the task, JSON (aws)")
    options = parser.parse_args(arguments)
    if not options.home:
        parser.error("no home: give --home or set IAMRANGE_AGENT_HOME")
    if options.what == "token" and not options.audience:
        parser.error("token needs --audience")
    try:
        line = _answer(AgentIdentity(options.home), options)
    except AgentIdentityError as error:
        if options.what != "gcp":
            sys.stderr.write(f"agent_credentials: {error}\n")
            return 1
        # google-auth reads failures from standard output, with status 0 (AIP-4117)
        line = json.dumps(_google_failure(error))
    sys.stdout.write(f"{line}\n" if line else "")
    return 0


def _answer(agent: AgentIdentity, options: argparse.Namespace) -> str:
    if options.what == "aws":
        return json.dumps(agent.aws_session(options.policy))
    if options.what == "gcp":
        return json.dumps(_google_success(agent, options.audience))
    if options.what == "token":
        return agent.token(options.audience)
    project(agent)
    return ""


def project(agent: AgentIdentity) -> None:
    """Write a new token file for each cloud that the home is set up for.

    Raises:
        AgentIdentityError: the issuer refused or was not reached.
    """
    for cloud in ("aws", "google"):
        if cloud in agent.settings:
            agent.write_token_file(agent.settings[cloud]["audience"], agent.home / f"{cloud}-token")


def _google_success(agent: AgentIdentity, audience: str | None) -> dict[str, Any]:
    wanted = audience or agent.settings.get("google", {}).get("audience")
    if not wanted:
        raise AgentIdentityError("no-audience", "the home names no Google provider")
    return {
        "version": 1,
        "success": True,
        "token_type": _JWT,
        "id_token": agent.token(wanted),
        "expiration_time": int(time.time()) + ASSERTION_LIFE,
    }


def _google_failure(error: AgentIdentityError) -> dict[str, Any]:
    return {"version": 1, "success": False, "code": error.code, "message": str(error)}


if __name__ == "__main__":
    sys.exit(main())
