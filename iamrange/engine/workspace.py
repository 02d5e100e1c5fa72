"""A world's own copy of what the engine writes to: project file, stack config, state, passphrase.

- A passphrase backend writes `encryptionsalt` into the stack's config file, so each world works on
  a copy and no committed file is ever rewritten.
- The copied project file points `main` at the real program, so nothing of the program is copied.
- Everything lives in the world's state folder: deleting that folder deletes the world's stack.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from iamrange.engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROJECT_FILE = "Pulumi.yaml"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one stack of one world."""

    state_dir: Path
    project: str
    stack: str

    @classmethod
    def create(cls, project_dir: Path, state_dir: Path, stack: str) -> Workspace:
        """Lay out a stack's folder, or open it as it is.

        Raises:
            EngineError: the project file is missing or has no name.
        """
        source = project_dir / PROJECT_FILE
        if not source.is_file():
            raise EngineError(f"project {str(project_dir)!r}: expected a {PROJECT_FILE}, got none")
        project = _read(source)
        name = project.get("name")
        if not isinstance(name, str) or not name:
            raise EngineError(f"project file {str(source)!r}: expected a name, got {name!r}")
        self = cls(state_dir.resolve(), name, stack)
        if self.config_file.exists():
            return self
        for folder in (self.backend, self.home, self.directory):
            folder.mkdir(parents=True, exist_ok=True)
        project["main"] = str((project_dir / project.get("main", ".")).resolve())
        _write(self.directory / PROJECT_FILE, project)
        self.passphrase_file.touch(mode=0o600)
        self.passphrase_file.write_text(secrets.token_urlsafe(32))
        committed = project_dir / self.config_file.name
        config = _read(committed) if committed.is_file() else {}
        # A salt that a person's own CLI left there belongs to another passphrase than ours.
        config.pop("encryptionsalt", None)
        _write(self.config_file, config)
        return self

    @property
    def directory(self) -> Path:
        """Where the engine runs: the project file and the stack's config."""
        return self.state_dir / "project"

    @property
    def backend(self) -> Path:
        """The file backend's folder."""
        return self.state_dir / "backend"

    @property
    def home(self) -> Path:
        """The engine's own home, so that a person's login is neither used nor changed."""
        return self.state_dir / "home"

    @property
    def passphrase_file(self) -> Path:
        """The random passphrase that encrypts this stack's secrets."""
        return self.state_dir / "passphrase"

    @property
    def config_file(self) -> Path:
        """The stack's own config file."""
        return self.directory / f"Pulumi.{self.stack}.yaml"

    @property
    def state_file(self) -> Path:
        """The stack's checkpoint; there once the stack is initialised."""
        return self.backend / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"

    def config(self) -> dict[str, Any]:
        """Return the stack's config by full key; secret values stay encrypted."""
        return dict(_read(self.config_file).get("config") or {})

    def set_config(self, values: Mapping[str, object]) -> None:
        """Write plain config values, objects as they are; None removes a key.

        A key without a namespace belongs to the project, as for the engine's own `config set`.
        """
        document = _read(self.config_file)
        config = dict(document.get("config") or {})
        for key, value in values.items():
            full = key if ":" in key else f"{self.project}:{key}"
            if value is None:
                config.pop(full, None)
            else:
                config[full] = value
        document["config"] = config
        _write(self.config_file, document)

    def copy_to(self, state_dir: Path) -> Workspace:
        """Copy this stack, state and all, into another world's folder."""
        shutil.copytree(self.state_dir, state_dir, ignore=shutil.ignore_patterns("locks", "logs"))
        return Workspace(state_dir.resolve(), self.project, self.stack)


def _read(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text()) or {}
    if not isinstance(document, dict):
        raise EngineError(f"file {str(path)!r}: expected a mapping, got {type(document).__name__}")
    return document


def _write(path: Path, document: Mapping[str, object]) -> None:
    """Replace a file whole, so that a reader never sees half of it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(yaml.safe_dump(dict(document), sort_keys=False))
    partial.replace(path)
