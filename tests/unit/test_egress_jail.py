"""The jail's pure parts: the system calls' filter, the list of what is let in, the order."""

from __future__ import annotations

import errno
import json
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamrange.range import jail_root
from iamrange.range.jail import Job, NetworkNamespace, jailed_environment
from iamrange.range.jail_enter import DOOR_URL, JailOrder
from iamrange.range.jail_filter import ARCHITECTURES, FAMILIES, program_for
from iamrange.range.jail_root import Bind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from iamrange.range.jail_filter import Instruction

ALLOWED = 0x7FFF0000
MACHINES = sorted(ARCHITECTURES)


def ran(program: Sequence[Instruction], number: int, architecture: int, argument: int = 0) -> int:
    """Run classic BPF as seccomp does; return what it returns."""
    data = {0: number, 4: architecture, 16: argument}
    at = loaded = 0
    for _ in range(len(program)):
        code, then, other, value = program[at]
        at += 1
        if code == 0x06:
            return value
        if code == 0x20:
            loaded = data[value]
            continue
        held = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
        at += then if held else other
    pytest.fail("the filter did not return")


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("machine", MACHINES)
def test_filter_lets_plain_calls_and_the_namespaces_own_sockets_through(machine: str) -> None:
    known, program = ARCHITECTURES[machine], program_for(machine)
    for number in set(range(460)) - {*known.refused.values(), known.socket, known.clone, 435}:
        assert ran(program, number, known.audit) == ALLOWED
    for family in FAMILIES.values():
        assert ran(program, known.socket, known.audit, family) == ALLOWED
    assert ran(program, known.clone, known.audit, 0x003D0F00) == ALLOWED  # a thread of pthread's


@pytest.mark.parametrize("machine", MACHINES)
def test_filter_refuses_every_call_of_its_table(machine: str) -> None:
    known, program = ARCHITECTURES[machine], program_for(machine)
    for number in known.refused.values():
        assert ran(program, number, known.audit) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("family", [0, 5, 17, 38, 40, 44])
def test_filter_refuses_sockets_of_other_families(machine: str, family: int) -> None:
    known = ARCHITECTURES[machine]
    assert ran(program_for(machine), known.socket, known.audit, family) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("bit", [17, 25, 26, 27, 28, 29, 30])
def test_filter_refuses_a_clone_into_any_new_namespace(machine: str, bit: int) -> None:
    known, program = ARCHITECTURES[machine], program_for(machine)
    assert ran(program, known.clone, known.audit, 1 << bit | 17) == refused(errno.EPERM)
    assert ran(program, 435, known.audit) == refused(errno.ENOSYS)


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_filter_answers_every_call_and_none_of_another_architecture(
    number: int, architecture: int, argument: int
) -> None:
    for machine in MACHINES:
        answer = ran(program_for(machine), number, architecture, argument)
        other = architecture != ARCHITECTURES[machine].audit
        assert answer in {ALLOWED, refused(errno.EPERM), refused(errno.ENOSYS)}
        assert not other or answer == refused(errno.EPERM)
        assert number < 0x40000000 or answer == refused(errno.EPERM)


def test_no_filter_is_made_for_an_unknown_machine() -> None:
    with pytest.raises(KeyError):
        program_for("riscv64")


def test_what_is_let_in_is_bound_outer_before_inner_and_once(tmp_path: Path) -> None:
    for name in ("a/b/c", "a/d", "e"):
        (tmp_path / name).mkdir(parents=True)
    a, e = tmp_path / "a", tmp_path / "e"
    planned = jail_root.plan([str(a), str(a / "d"), str(tmp_path / "none")], [str(a / "b"), str(e)])
    assert planned == (Bind(str(a), False), Bind(str(a / "b"), True), Bind(str(e), True))  # noqa: FBT003 - a table


def test_what_is_let_in_twice_is_writable_if_either_says_so(tmp_path: Path) -> None:
    assert jail_root.plan([str(tmp_path)], [str(tmp_path)]) == (Bind(str(tmp_path), True),)  # noqa: FBT003 - same


def test_what_a_link_leads_to_is_let_in_with_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    planned = jail_root.plan([str(tmp_path / "link")], [])
    assert {bind.path for bind in planned} == {str(tmp_path / "link"), str(tmp_path / "real")}


@pytest.mark.parametrize("path", ["/", "//", "/..", "/usr/..", "relative", "", "./x"])
def test_the_whole_tree_and_relative_paths_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="jail path expected"):
        jail_root.plan([path], [])
    with pytest.raises(ValueError, match="jail path expected"):
        jail_root.plan([], [path])


def test_of_the_interpreters_path_only_paths_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable install puts the name of its import hook there."""
    hook = "__editable__.iamrange-0.1.0.finder.__path_hook__"
    monkeypatch.setattr(sys, "path", ["", hook, "relative", *sys.path])
    paths = jail_root.interpreter_paths()
    assert sys.prefix in paths
    assert all(path.startswith("/") for path in paths)
    assert jail_root.plan(paths, [])


def test_order_survives_its_json() -> None:
    order = JailOrder(proxy=("127.10.0.1", 8080), hosts=("*.x.example",), writable=("/w",))
    assert JailOrder.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_the_worlds_proxy_is_replaced_by_the_door_and_nothing_else_is() -> None:
    proxy = ("127.10.0.1", 8080)
    environment = {"HTTPS_PROXY": "http://127.10.0.1:8080", "OTHER": "http://127.10.0.1:80"}
    assert jailed_environment(environment, proxy) == {**environment, "HTTPS_PROXY": DOOR_URL}


def test_job_does_not_show_its_environment_and_its_folder_is_writable() -> None:
    job = Job(argv=("x",), env={"TOKEN": "secret"}, allowed_hosts=(), cwd="/srv/folder")
    assert "secret" not in repr(job)
    assert NetworkNamespace(("127.0.0.1", 1)).order(job).writable == ("/srv/folder",)
