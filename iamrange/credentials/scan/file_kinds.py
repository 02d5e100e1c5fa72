"""What a file is by its name: its reader, and whether an unquoted word is a value. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final


class Format(StrEnum):
    """A format that has a reader of its own (`structure`)."""

    JSON = "json"
    YAML = "yaml"
    TOML = "toml"
    LINES = "lines"
    NETRC = "netrc"
    PGPASS = "pgpass"


_BY_SUFFIX: Final = {
    **dict.fromkeys(
        (".json", ".jsonc", ".ipynb", ".code-workspace", ".tfstate", ".jwk", ".har"), Format.JSON
    ),
    **dict.fromkeys((".yaml", ".yml"), Format.YAML),
    ".toml": Format.TOML,
    **dict.fromkeys(
        (".env", ".ini", ".cfg", ".conf", ".cnf", ".properties", ".envrc", ".service"), Format.LINES
    ),
}
_BY_NAME: Final = {
    **dict.fromkeys((".npmrc", ".pypirc", "credentials", ".s3cfg", ".boto"), Format.LINES),
    **dict.fromkeys((".wgetrc", ".git-credentials", "environ", "environment"), Format.LINES),
    **dict.fromkeys((".netrc", "_netrc", ".authinfo", "netrc"), Format.NETRC),
    **dict.fromkeys((".pgpass", "pgpass.conf"), Format.PGPASS),
    **dict.fromkeys((".dockercfg", ".terraform.tfstate"), Format.JSON),
}
_ENVIRONMENT: Final = re.compile(
    r"\.env(?:[.-].*)?|env\..*|.*\.env\.(?:j2|tmpl|tpl|bak|old|orig|local)"
)
_STATE: Final = re.compile(r".*\.tfstate\.(?:backup|[0-9]+\.backup)")
_TEXTS: Final = frozenset({
    ".txt", ".md", ".mdc", ".rst", ".adoc", ".prompt", ".log", ".pem", ".tfvars", ".mk", ".csv",
    ".sh", ".bash", ".zsh", ".fish", ".ksh", ".bat", ".cmd", ".ps1", ".http", ".rest",
    ".dockerfile",
})  # fmt: skip
_SHELLS: Final = re.compile(
    r"(?:.*[._-])?(?:dockerfile|containerfile|makefile|procfile|crontab)(?:\..*)?|hosts|inventory"
    r"|\.?\w{0,20}_?history|\.\w{0,20}(?:rc|profile|login|logout|aliases|exports)|\.\w{1,20}rules"
)
_SHEBANG: Final = re.compile(r"#![^\n]{0,80}\b(?:ba|da|k|z|fi)?sh\b")


def format_of(path: str) -> Format | None:
    """Return the format that a file's name says, if it has a reader."""
    name = PurePosixPath(path).name.lower()
    found = _BY_NAME.get(name) or _BY_SUFFIX.get(PurePosixPath(name).suffix)
    if found is not None:
        return found
    if _ENVIRONMENT.fullmatch(name):
        return Format.LINES
    return Format.JSON if _STATE.fullmatch(name) else None


def is_configuration(path: str, text: str = "") -> bool:
    """Tell whether an unquoted word in a file is a value: in code it is a name."""
    name = PurePosixPath(path).name.lower()
    return (
        format_of(path) is not None
        or PurePosixPath(name).suffix in _TEXTS
        or _SHELLS.fullmatch(name) is not None
        or _SHEBANG.match(text) is not None
    )
