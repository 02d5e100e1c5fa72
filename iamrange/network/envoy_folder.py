"""The files of a running Envoy: certificates handed over whole, logs kept short.

- All are in one folder, readable by their owner alone, and go when Envoy goes.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from iamrange.network.envoy_log import ACCESS_LOG_FILE, LOG_FILE, OLD_ACCESS_LOG_FILE
from iamrange.network.envoy_sidecars import sidecar_socket
from iamrange.network.envoy_tls import documents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from iamrange.network.envoy_config import EnvoyConfig

_LAST_WORDS = 300


def write_documents(folder: Path, config: EnvoyConfig) -> None:
    """Put all certificates where Envoy looks."""
    for name, document in documents(config).items():
        write_document(folder, name, document)


def write_document(folder: Path, name: str, document: Mapping[str, Any]) -> None:
    """Put a certificate where Envoy looks, whole at every moment."""
    new = folder / f".{name}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file)
    new.rename(folder / name)  # Envoy watches for files that are moved in


def file_names(config: EnvoyConfig, folder: Path) -> tuple[str, ...]:
    """Return the names of all files that an Envoy of this configuration leaves."""
    return (
        *documents(config),
        *(LOG_FILE, ACCESS_LOG_FILE, OLD_ACCESS_LOG_FILE),
        *(sidecar_socket(folder, sidecar).name for sidecar in config.sidecars),
    )


def remove_files(folder: Path, names: tuple[str, ...]) -> None:
    """Remove the files that are there."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def shorten_logs(folder: Path, limit: int) -> bool:
    """Put a long access log aside, and tell whether Envoy has to open another.

    Envoy's own log is not its to open again: what is too long of it is dropped.
    """
    log, access_log = folder / LOG_FILE, folder / ACCESS_LOG_FILE
    try:
        if log.stat().st_size > limit:
            os.truncate(log, 0)
        if access_log.stat().st_size <= limit:
            return False
        access_log.rename(folder / OLD_ACCESS_LOG_FILE)
    except FileNotFoundError:
        return False
    return True


def last_words(log: Path, config: EnvoyConfig | None = None) -> str:
    """Return the end of the log; a refused document may be quoted in it, with the secret."""
    try:
        text = log.read_text(errors="replace")
        if config is not None and config.secret in text:
            text = text.replace(config.secret, "[secret]")
            log.write_text(text)
    except OSError:
        return ""
    lines = text.strip().splitlines()
    return f"; last words: {lines[-1][:_LAST_WORDS]}" if lines else ""
