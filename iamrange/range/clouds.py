"""Only the enforcing clouds, in the foreground: what `iamrange clouds` serves.

- The first line on standard output is the JSON by which a client finds everything.
- Ends cleanly on SIGINT, SIGTERM and SIGHUP; leaves no file, port or process.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iamrange.clouds.fetch import HttpFetcher
from iamrange.range.config import CORPORATE, Project, WorldConfig
from iamrange.range.content import Content
from iamrange.range.emulator import (
    EmulatorDownError,
    EmulatorUrlError,
    find_emulator,
    loopback_url,
)
from iamrange.range.listeners import Listeners
from iamrange.range.sweep import Entry, sweep

if TYPE_CHECKING:
    from collections.abc import Mapping


DONE, MISUSE, BROKEN = 0, 2, 3
DEFAULT_ACCOUNT = "100000000002"
DEFAULT_PROJECT = "iamrange-agents=340000000001"
GCP_ORGANIZATION = "123456789012"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ACCOUNT = re.compile(r"[0-9]{12}")
_PROJECT = re.compile(r"(?P<id>[a-z][a-z0-9-]{4,28}[a-z0-9])=(?P<number>[1-9][0-9]{0,18})")
_RESOLVE = re.compile(r"(?P<host>[A-Za-z0-9.-]+)=(?P<url>https?://.+)")


class CloudsMisuseError(Exception):
    """An option that cannot be; the message says which and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudsOptions:
    """The command's options, as typed.

    `organization` is a management account; all other accounts are its members. `trust_ca` are
    PEM files of authorities that vouch for issuers, besides the clouds' own.
    """

    accounts: tuple[str, ...] = ()
    organization: str | None = None
    projects: tuple[str, ...] = ()
    resolve: tuple[str, ...] = ()
    trust_ca: tuple[str, ...] = ()
    aws_upstream: str | None = None
    unmapped: str = "deny"
    explain: bool = False

    def config(self) -> WorldConfig:
        """Return the world's configuration.

        Raises:
            CloudsMisuseError: an option is malformed.
        """
        if self.unmapped not in ("deny", "allow"):
            raise CloudsMisuseError(f"--unmapped: expected deny or allow, got {self.unmapped!r}")
        accounts = dict.fromkeys(self.accounts or (self.organization or DEFAULT_ACCOUNT,))
        if self.organization is not None:
            accounts[self.organization] = None
        for account in accounts:
            if not _ACCOUNT.fullmatch(account):
                raise CloudsMisuseError(f"account: expected 12 digits, got {account!r}")
        projects = tuple(_project(text) for text in self.projects or (DEFAULT_PROJECT,))
        for kind, values in (
            ("id", [p.id for p in projects]),
            ("number", [p.number for p in projects]),
        ):
            if len(set(values)) != len(values):
                raise CloudsMisuseError(f"project: each {kind} expected once, got {values}")
        for file in self.trust_ca:
            if not Path(file).is_file():
                raise CloudsMisuseError(f"--trust-ca: expected a PEM file, got {file!r}")
        resolve = dict(_resolve(text) for text in self.resolve)
        try:
            HttpFetcher(resolve=resolve)
        except ValueError as error:
            raise CloudsMisuseError(f"--resolve: {error}") from error
        return WorldConfig(
            run_id="clouds",
            aws_accounts=tuple(accounts),
            aws_organization=self.organization,
            aws_members=tuple(a for a in accounts if a != self.organization)
            if self.organization
            else (),
            gcp_organization=GCP_ORGANIZATION,
            gcp_projects=projects,
            resolve=resolve,
            trust_ca=tuple(str(Path(file).resolve()) for file in self.trust_ca),
            aws_upstream=_upstream(self.aws_upstream) if self.aws_upstream is not None else None,
            aws_unmapped="allow" if self.unmapped == "allow" else "deny",
            aws_explain=self.explain,
        )


def serve_clouds(options: CloudsOptions) -> int:
    """Serve until interrupted; return the exit status."""
    try:
        config = options.config()
    except CloudsMisuseError as error:
        sys.stderr.write(f"iamrange clouds: {error}\n")
        return MISUSE
    entry: Entry | None = None
    try:
        config, upstream = _with_upstream(config)
        sweep()
        entry = Entry.create(name="clouds")
        content = Content(config, entry.folder)
        return asyncio.run(_serve(content, Listeners(content, entry.folder), upstream))
    except EmulatorDownError as error:
        sys.stderr.write(f"iamrange clouds: --aws-upstream: {error}\n")
        return BROKEN
    except OSError as error:
        sys.stderr.write(f"iamrange clouds: {error}\n")
        return BROKEN
    finally:
        if entry is not None:
            entry.remove()


def _with_upstream(config: WorldConfig) -> tuple[WorldConfig, Mapping[str, Any] | None]:
    """Recognise the emulator that holds AWS's resources, if there is one.

    Raises:
        EmulatorDownError: nothing answers at its URL.
    """
    url = config.aws_upstream
    if url is None:
        return config, None
    found = find_emulator(url)
    sys.stderr.write(
        f"iamrange clouds: AWS's resources are kept by {found.kind} {found.version} at {url}; "
        "whoever reaches that address needs no credentials\n"
    )
    if found.lacking:
        sys.stderr.write(
            f"iamrange clouds: it has no {', '.join(found.lacking)}; "
            "their resources are kept here, while this command runs\n"
        )
    told = {
        "url": url,
        "kind": found.kind,
        "version": found.version,
        "lacking": list(found.lacking),
    }
    known = replace(config, aws_upstream_kind=found.kind, aws_upstream_lacking=found.lacking)
    return known, told


async def _serve(content: Content, listeners: Listeners, upstream: Mapping[str, Any] | None) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, ended.set)
    await listeners.start()
    sys.stdout.write(json.dumps(_first_line(content, listeners, upstream)) + "\n")
    sys.stdout.flush()
    await ended.wait()
    await listeners.stop()
    await content.aws.close()
    passed = getattr(content.aws, "unmapped_operations", ())
    if passed:
        sys.stderr.write(f"iamrange clouds: let through unmapped: {', '.join(passed)}\n")
    return DONE


def _first_line(
    content: Content, listeners: Listeners, upstream: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    description = listeners.description()
    projects = {
        project.id: {"number": project.number, "access_token": content.gcp_tokens[project.id]}
        for project in content.config.gcp_projects
    }
    return {
        "aws": {
            **description["aws"],
            "accounts": content.aws_keys,
            **({"upstream": upstream} if upstream is not None else {}),
        },
        "gcp": {**description["gcp"], "projects": projects},
        "env": description["networks"][CORPORATE]["env"],
    }


def _project(text: str) -> Project:
    match = _PROJECT.fullmatch(text)
    if match is None:
        raise CloudsMisuseError(f"--project: expected ID=NUMBER, got {text!r}")
    return Project(id=match["id"], number=match["number"], organization=GCP_ORGANIZATION)


def _upstream(url: str) -> str:
    try:
        return loopback_url(url)
    except EmulatorUrlError as error:
        raise CloudsMisuseError(f"--aws-upstream: {error}") from error


def _resolve(text: str) -> tuple[str, str]:
    match = _RESOLVE.fullmatch(text)
    if match is None:
        raise CloudsMisuseError(f"--resolve: expected HOST=URL, got {text!r}")
    return match["host"].lower(), match["url"]
