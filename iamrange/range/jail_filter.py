"""The seccomp filter of a jail, as the kernel's classic BPF.

Namespaces leave some ways out, which this closes:

- socket families that no network namespace holds (AF_VSOCK reaches a virtual machine's host);
- io_uring, which opens sockets past any filter on socket(2);
- joining or making namespaces, mounting, tracing, and the keyrings that a user's processes share.

A refused call fails with EPERM, so that the program lives and says so; calls of another
architecture's numbers are refused too, since the table would not name them.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iamrange.range.jail_kernel import (
    ALL_NAMESPACES,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Instruction = tuple[int, int, int, int]

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

# struct seccomp_data: the call's number, the architecture, then the arguments; their low halves
# come first on both of our architectures.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16

_ALLOW: Instruction = (_RETURN, 0, 0, 0x7FFF0000)
_X32 = 0x40000000
"""Numbers from here on are of x86's third ABI."""

FAMILIES: Mapping[str, int] = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
"""What a network namespace holds. Pathname sockets are the mount namespace's to hide."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture's own numbers (its AUDIT_ARCH, and of the calls that the filter looks at)."""

    audit: int
    socket: int
    clone: int
    refused: Mapping[str, int]


_SINCE_LINUX_5 = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "open_tree_attr": 467,
}
"""Numbered alike on every architecture."""

ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(
        audit=0xC000003E,
        socket=41,
        clone=56,
        refused={
            "ptrace": 101,
            "pivot_root": 155,
            "chroot": 161,
            "mount": 165,
            "umount2": 166,
            "init_module": 175,
            "delete_module": 176,
            "kexec_load": 246,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "name_to_handle_at": 303,
            "open_by_handle_at": 304,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "finit_module": 313,
            "kexec_file_load": 320,
            "bpf": 321,
            "userfaultfd": 323,
            **_SINCE_LINUX_5,
        },
    ),
    "aarch64": Architecture(
        audit=0xC00000B7,
        socket=198,
        clone=220,
        refused={
            "umount2": 39,
            "mount": 40,
            "pivot_root": 41,
            "chroot": 51,
            "unshare": 97,
            "kexec_load": 104,
            "init_module": 105,
            "delete_module": 106,
            "ptrace": 117,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "perf_event_open": 241,
            "name_to_handle_at": 264,
            "open_by_handle_at": 265,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "finit_module": 273,
            "bpf": 280,
            "userfaultfd": 282,
            "kexec_file_load": 294,
            **_SINCE_LINUX_5,
        },
    ),
}
"""By `uname -m`. On any other machine there is no jail: an unfiltered one would leak."""

_CLONE3 = 435
"""Its flags lie in memory, where a filter cannot look: libc does with clone when it is unknown."""


def program_for(machine: str) -> tuple[Instruction, ...]:
    """Return the filter for a machine.

    Raises:
        KeyError: the architecture's numbers are not in the table.
    """
    known = ARCHITECTURES[machine]
    refuse = _refusal(errno.EPERM)
    lines: list[Instruction] = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, known.audit),
        refuse,
        (_LOAD_WORD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 0, 1, _X32),
        refuse,
        (_JUMP_EQUAL, 0, 1, _CLONE3),
        _refusal(errno.ENOSYS),
    ]
    for number in sorted(known.refused.values()):
        lines += [(_JUMP_EQUAL, 0, 1, number), refuse]
    lines += [
        (_JUMP_EQUAL, 0, 4, known.clone),
        (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_ANY_BIT, 0, 1, ALL_NAMESPACES),
        refuse,
        _ALLOW,
        (_JUMP_EQUAL, 1, 0, known.socket),
        _ALLOW,
        (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT),
    ]
    for family in FAMILIES.values():
        lines += [(_JUMP_EQUAL, 0, 1, family), _ALLOW]
    return (*lines, refuse)


def _refusal(number: int) -> Instruction:
    return (_RETURN, 0, 0, 0x00050000 | number)  # SECCOMP_RET_ERRNO
