"""The system calls of Linux that a jail is made with, which Python 3.11 has no names for.

- Every call raises `OSError` with the kernel's own number; none is tried a second way.
- Nothing here decides anything: what is called in which order is `jail_enter`'s.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
ALL_NAMESPACES = (
    CLONE_NEWNS
    | CLONE_NEWCGROUP
    | CLONE_NEWUTS
    | CLONE_NEWIPC
    | CLONE_NEWUSER
    | CLONE_NEWPID
    | CLONE_NEWNET
)
"""What a jail is given of its own, and what nothing in it may make another of."""

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

_MNT_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_NOSUID = 0x2
_SYS_MOUNT_SETATTR = 442
"""The same number on every architecture, as of all system calls since Linux 5.1."""

_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_SECURE_NOROOT_LOCKED = 0b11
_SECURE_NO_SETUID_FIXUP_LOCKED = 0b1100
_CAPABILITY_VERSION_3 = 0x20080522
_CAPABILITIES = 64

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name for new ones (unshare(2)).

    Raises:
        OSError: the kernel refused.
    """
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount (mount(2)).

    Raises:
        OSError: the kernel refused.
    """
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    result = _libc.mount(*encoded, ctypes.c_ulong(flags), data.encode() or None)
    _checked(result, f"mount {target}")


def read_only(target: str, *, recursive: bool) -> None:
    """Let nobody write below a mount, nor run what is set-user-id (mount_setattr(2)).

    Raises:
        OSError: the kernel refused; before Linux 5.12 it knows no such call.
    """
    attributes = _MountAttributes(attr_set=_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(_AT_RECURSIVE if recursive else 0),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _checked(result, f"mount_setattr {target}")


def pivot_root(new: str, old: str) -> None:
    """Make one mount the root and put the former one below it (pivot_root(2)).

    Raises:
        OSError: the kernel refused.
    """
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    result = _libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old))
    _checked(result, "pivot_root")


def detach(target: str) -> None:
    """Take a mount and all below it away (umount2(2)).

    Raises:
        OSError: the kernel refused.
    """
    _checked(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER).

    Raises:
        OSError: the kernel refused.
    """
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, 1)


def drop_privileges() -> None:
    """Give every capability up, for good, for this process and all that it will start.

    Raises:
        OSError: the kernel refused.
    """
    for capability in range(_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # EINVAL: the kernel knows no further one; EPERM is seen below
    _prctl(
        "PR_SET_SECUREBITS",
        _PR_SET_SECUREBITS,
        _SECURE_NOROOT_LOCKED | _SECURE_NO_SETUID_FIXUP_LOCKED,
    )
    _prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)
    header = _CapabilityHeader(version=_CAPABILITY_VERSION_3, pid=0)
    none = (_CapabilityData * 2)()
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref(none)), "capset")


def filter_system_calls(program: Sequence[tuple[int, int, int, int]]) -> None:
    """Put a seccomp filter on this process and all that it will start; it cannot be taken off.

    Raises:
        OSError: the kernel refused.
    """
    instructions = (_Instruction * len(program))(*(_Instruction(*line) for line in program))
    whole = _Program(len(program), instructions)
    result = _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(whole), 0, 0)
    _checked(result, "PR_SET_SECCOMP")


def _prctl(what: str, option: int, value: int) -> None:
    arguments = (ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)
    _checked(_libc.prctl(ctypes.c_int(option), *arguments), what)
