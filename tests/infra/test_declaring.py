"""The tests' own harness: a program that it should not pass, it does not pass."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

Declare = Any


def test_program_that_declares_nothing_is_found(declare: Declare) -> None:
    with pytest.raises(AssertionError, match="declared nothing"):
        declare(program=lambda: None)


def test_invoke_is_found(declare: Declare) -> None:
    with pytest.raises(Exception, match="unexpected invoke of aws:index/getCallerIdentity"):
        declare(program=aws.get_caller_identity)


def test_output_turned_into_text_is_found(declare: Declare) -> None:
    def program() -> None:
        user = aws.iam.User("user")
        aws.iam.User("other", path=f"/{user.name}/")

    with pytest.raises(Exception, match="__str__ on an Output"):
        declare(program=program)


def test_failure_inside_apply_is_found(declare: Declare) -> None:
    def fail(_: object) -> None:
        raise ValueError("inside apply")

    def program() -> None:
        pulumi.export("broken", aws.iam.User("user").name.apply(fail))

    with pytest.raises(ValueError, match="inside apply"):
        declare(program=program)


def test_program_leaves_no_setting_for_the_next(declare: Declare) -> None:
    declare(controls={"aws.least-privilege": False})
    assert "Unsafe" not in str(declare().resources)
