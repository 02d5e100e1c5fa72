"""Run as a program: make a cluster if there is none, then become its server.

- A process of its own between a world and its server, as for Envoy; it imports nothing of the
  range's, so that it can run isolated.
- A new cluster is a copy of one that was made once and is kept; there is no password in it.
- What the cluster is to hold comes as statements on standard input, one a line. They are carried
  out before the server listens anywhere, by nobody who logs in: its superuser has no password.
- The server ends with the process that asked for it, by a signal that lets it clean up: no segment
  of shared memory stays.

Arguments: the parent's process id, the user to run as (empty: stay), the folder of the programs,
the template, the data folder, the server's own options.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

DATABASE = "records"

_PR_SET_PDEATHSIG = 1
_ORPHANED = 75
_ENVIRONMENT = {"PATH": "", "LC_ALL": "C"}
_INITDB = ("-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C", "--wal-segsize=1")
_HBA = "local all all scram-sha-256\n"
"""Written over what initdb leaves, before a server has read it."""

_QUIETLY = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "-c", "fsync=off")
"""A statement that fails ends it, and is quoted nowhere: it may hold a password."""

_OF_TEMPLATE = (
    f"ALTER DATABASE postgres RENAME TO {DATABASE}\n"
    f"REVOKE ALL ON DATABASE {DATABASE}, template1 FROM PUBLIC\n"
)


def main() -> None:
    """Make the cluster, carry the statements out, and become the server."""
    parent, user, programs, template, data, *options = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a world ignores it, and that is inherited
    os.umask(0o077)
    statements = sys.stdin.buffer.read()
    account = pwd.getpwnam(user) if user else None
    new = not (Path(data) / "PG_VERSION").exists()
    if new:
        _make(Path(programs), Path(template), Path(data), account)
    if account is not None:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    _end_with(int(parent))  # after the change of user, at which the kernel forgets it
    os.chdir(data)
    server = f"{programs}/postgres"
    if new:
        _run([server, "--single", "-D", data, *_QUIETLY, DATABASE], statements, None)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.execve(server, [server, "-D", data, *options], _ENVIRONMENT)  # noqa: S606 - a program without a shell


def _make(programs: Path, template: Path, data: Path, account: pwd.struct_passwd | None) -> None:
    """Make a cluster that holds nothing, from the template if there is one."""
    if (template / "PG_VERSION").exists():
        shutil.copytree(template, data, dirs_exist_ok=True)
        data.chmod(0o700)
        _give(data, account)
        return
    data.mkdir(exist_ok=True)
    _give(data, account)
    _run([f"{programs}/initdb", "-D", str(data), *_INITDB], b"", account)
    (data / "pg_hba.conf").write_text(_HBA)
    single = [f"{programs}/postgres", "--single", "-D", str(data), *_QUIETLY, "template1"]
    _run(single, _OF_TEMPLATE.encode(), account)
    _keep(data, template)


def _keep(data: Path, template: Path) -> None:
    """Keep a copy as the template; that it cannot be kept costs time, and nothing else."""
    with contextlib.suppress(OSError):
        template.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copied = Path(tempfile.mkdtemp(prefix=f"{template.name}.", dir=template.parent))
        try:
            shutil.copytree(data, copied, dirs_exist_ok=True)
            copied.rename(template)  # refused where another was faster
        finally:
            shutil.rmtree(copied, ignore_errors=True)


def _give(folder: Path, account: pwd.struct_passwd | None) -> None:
    if account is None:
        return
    for root, folders, files in os.walk(folder):
        for path in (root, *(f"{root}/{name}" for name in (*folders, *files))):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _run(command: list[str], given: bytes, account: pwd.struct_passwd | None) -> None:
    done = subprocess.run(  # noqa: S603 - our own program and arguments
        command,
        input=given,
        stdout=subprocess.DEVNULL,
        check=False,
        cwd=command[command.index("-D") + 1],
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        env=_ENVIRONMENT,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:2])} ended with {done.returncode}")


def _end_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it ended before we asked
        sys.exit(_ORPHANED)


if __name__ == "__main__":
    main()
