"""What a process can reach, tried for real: run inside a jail and outside of it, the same way.

Usage: egress_probe.py FACTS, as JSON; prints name -> "reached", or why not.
"""

import ctypes
import json
import os
import pathlib
import socket
import sys
from collections.abc import Callable
from typing import Any

Facts = dict[str, Any]
LIBC = ctypes.CDLL(None, use_errno=True)
SECONDS = 2
VM_HOST = 2
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PTRACE_SEIZE = 0x4206
IO_URING_SETUP = 425


def tcp(address: tuple[str, int]) -> None:
    with socket.create_connection(address, SECONDS) as connection:
        assert connection.recv(16)


def unix(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(address)
        assert connection.recv(16)


def udp(address: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(SECONDS)
        asker.sendto(b"?", address)
        assert asker.recv(16)


def checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def made(*arguments: int) -> None:
    socket.socket(*arguments).close()


def rooms() -> list[str]:
    return [str(path) for path in pathlib.Path("/proc").iterdir() if path.name.isdigit()]


def join_the_host(facts: Facts) -> None:
    """Join the host's network through whichever process is in it."""
    for room in rooms():
        try:
            if str(pathlib.Path(f"{room}/ns/net").readlink()) == facts["host_network"]:
                descriptor = os.open(f"{room}/ns/net", os.O_RDONLY)
                break
        except OSError:
            continue
    else:
        raise OSError("no process of the host's network to be seen")
    checked(LIBC.setns(descriptor, CLONE_NEWNET))


def read_through_roots(facts: Facts) -> None:
    """Read the world's secret through some other process's root."""
    for room in rooms():
        try:
            pathlib.Path(f"{room}/root{facts['secret']}").read_text()
        except OSError:
            continue
        return
    raise OSError("no process whose root holds it")


def signal_the_host(facts: Facts) -> None:
    os.kill(facts["host_pid"], 0)


def trace_the_host(facts: Facts) -> None:
    checked(LIBC.ptrace(PTRACE_SEIZE, facts["host_pid"], 0, 0))


def opened(path: str) -> None:
    assert pathlib.Path(path).read_bytes()


def write(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.close(descriptor)


def ring(_: Facts) -> None:
    parameters = ctypes.create_string_buffer(120)
    checked(LIBC.syscall(IO_URING_SETUP, 1, parameters))


PROBES: dict[str, Callable[[Facts], None]] = {
    "a listener on the host's loopback": lambda facts: tcp(("127.0.0.1", facts["tcp"])),
    "a listener on another loopback address": lambda facts: tcp(("127.10.0.1", facts["tcp"])),
    "a listener on the host's IPv6 loopback": lambda facts: tcp(("::1", facts["tcp6"])),
    "the world's proxy itself": lambda facts: socket.create_connection(
        tuple(facts["proxy"]), SECONDS
    ).close(),
    "a listener by the host's own address": lambda facts: tcp((facts["own"], facts["tcp"])),
    "a UDP service": lambda facts: udp(("127.0.0.1", facts["udp"])),
    "an abstract unix socket": lambda facts: unix("\0" + facts["abstract"]),
    "a unix socket in the world's folder": lambda facts: unix(facts["socket"]),
    "a secret in the world's folder": lambda facts: opened(facts["secret"]),
    "a secret through another process's root": read_through_roots,
    "the host's network by setns": join_the_host,
    "a process of the host by signal": signal_the_host,
    "a process of the host by ptrace": trace_the_host,
    "raw IP": lambda _: made(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "raw frames": lambda _: made(socket.AF_PACKET, socket.SOCK_RAW),
    "the machine's host by vsock": lambda _: made(socket.AF_VSOCK, socket.SOCK_STREAM),
    "the kernel's ciphers by a socket": lambda _: made(socket.AF_ALG, socket.SOCK_SEQPACKET),
    "a ring that opens sockets": ring,
    "a user namespace": lambda _: checked(LIBC.unshare(CLONE_NEWUSER)),
    "the kernel's settings": lambda _: write("/proc/sys/kernel/core_pattern"),
    "the interpreter's own files": lambda _: write(os.__file__),
    "the host's passwords": lambda _: opened("/etc/shadow"),
}


def attempt(name: str, facts: Facts) -> str:
    """Try one thing in a process of its own: some of them change the process that tries."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            PROBES[name](facts)
            answer = "reached"
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode()[:500])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read().decode() or "died"
    os.waitpid(pid, 0)
    return answer


def main() -> None:
    facts = json.loads(sys.argv[1])
    descriptors = [int(path.name) for path in pathlib.Path("/proc/self/fd").iterdir()]
    sys.stdout.write(
        json.dumps(
            {
                "probes": {name: attempt(name, facts) for name in PROBES},
                "network": str(pathlib.Path("/proc/self/ns/net").readlink()),
                "processes": sorted(int(name[6:]) for name in rooms()),
                "descriptors": sorted(descriptors),
                "own_pid": os.getpid(),
            }
        )
    )


if __name__ == "__main__":
    main()
