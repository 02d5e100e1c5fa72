"""The key of a scan's hashes: made once, in a file that only its owner reads, or given."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from iamrange.credentials.scan.finding import Hasher

if TYPE_CHECKING:
    from pathlib import Path

_MODE = 0o600


class KeyFileError(Exception):
    """A key's file cannot be read, or holds too little; the text names it."""


def read_key(path: Path, *, make: bool) -> bytes:
    """Return the key of a file; with `make`, make it at random if there is none.

    Raises:
        KeyFileError: it cannot be read or made, or is short enough to be guessed.
    """
    try:
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
            try:
                os.link(new, path)  # whoever was first has made it
            except FileExistsError:
                pass
            finally:
                new.unlink()
        key = path.read_bytes().strip()
        Hasher(key)
    except OSError as error:
        raise KeyFileError(f"'{path}': {error.strerror}") from error
    except ValueError as error:
        raise KeyFileError(f"'{path}': {error}; way out: openssl rand -hex 32") from error
    return key
