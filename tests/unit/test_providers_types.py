"""The declarations of all resource types, held against the SDK and against themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from iamrange.engine.aws_types.package import TYPES as AWS_TYPES
from iamrange.engine.aws_types.package import aws_package
from iamrange.engine.diff import changed_inputs
from iamrange.engine.documents import json_document, policy_document, trimmed, unordered
from iamrange.engine.gcp_types.package import TYPES as GCP_TYPES
from iamrange.engine.gcp_types.package import gcp_package
from iamrange.engine.properties import UNKNOWN
from iamrange.engine.schema import type_schema

if TYPE_CHECKING:
    from iamrange.engine.package import Package
    from iamrange.engine.resource import ResourceType

# the SDK's own modules warn of its deprecated types when they are imported
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_gcp"),
]
ALL: list[ResourceType[Any]] = [*AWS_TYPES, *GCP_TYPES]
TYPES = {kind.token: kind for kind in ALL}
PACKAGES = {"aws": aws_package(None), "gcp": gcp_package(None)}


def test_no_type_is_declared_twice() -> None:
    assert len(TYPES) == len(AWS_TYPES) + len(GCP_TYPES)


@pytest.mark.parametrize("token", sorted(TYPES))
def test_a_type_names_only_what_the_sdk_has(token: str) -> None:
    kind, schema = TYPES[token], type_schema(token)
    assert schema is not None
    assert kind.inputs - schema.inputs.keys() == set()
    assert schema.required - kind.inputs == set()
    outputs = {key for key in kind.computed | kind.kept if not key.startswith("__")}
    assert outputs - schema.outputs == set()


@pytest.mark.parametrize("token", sorted(TYPES))
def test_each_sort_of_input_is_an_input_and_of_one_sort_only(token: str) -> None:
    kind = TYPES[token]
    for name in ("force_new", "identity", "settings", "exclusive", "filled_in"):
        assert getattr(kind, name) - kind.inputs == set(), name
    assert kind.defaults.keys() - kind.inputs == set()
    assert kind.canonical.keys() - kind.inputs == set()
    assert kind.identity & kind.settings == set()
    # what cannot change in the cloud can only be replaced
    assert kind.identity - kind.force_new - {"name"} == set()
    # and what drifts has to be put right in place
    assert kind.update is not None or kind.drifting == set()
    assert kind.volatile - kind.computed == set()


@pytest.mark.parametrize("token", sorted(TYPES))
def test_a_value_that_holds_an_unknown_differs_from_every_known_one(token: str) -> None:
    kind = TYPES[token]
    for key in kind.canonical:
        for value in (UNKNOWN, [UNKNOWN], {"a": UNKNOWN}):
            assert kind.value({key: value}, key) == value


@pytest.mark.parametrize("token", sorted(TYPES))
def test_inputs_that_are_not_known_yet_are_no_problem_and_no_crash(token: str) -> None:
    kind, schema = TYPES[token], type_schema(token)
    assert schema is not None
    known = dict.fromkeys(kind.inputs, "known")
    for unknown in (UNKNOWN, [UNKNOWN], [{"name": UNKNOWN}], {"auto": UNKNOWN}):
        inputs = dict.fromkeys(kind.inputs, unknown)
        if kind.problems is not None and unknown is UNKNOWN:
            one_of = {"secretBinary"} if token.endswith(":SecretVersion") else set()
            one_of |= {"contentBase64", "source"} if token.endswith(":BucketObjectv2") else set()
            assert kind.problems({k: v for k, v in inputs.items() if k not in one_of}) == []
        elif kind.problems is not None:
            kind.problems(inputs)
        assert changed_inputs(kind, known, inputs) == kind.inputs
        if kind.also_force_new is not None:
            assert kind.also_force_new(known, inputs) == frozenset()


CASES: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
    ("aws:iam/role:Role", {}, [("assumeRolePolicy", "required, but missing")]),
    (
        "aws:iam/role:Role",
        {"assumeRolePolicy": "x", "inlinePolicies": [{"nmae": "a"}]},
        [("inlinePolicies[0].nmae", "no such property; has ['name', 'policy']")],
    ),
    (
        "aws:iam/role:Role",
        {"assumeRolePolicy": "x", "tags": {"a": 3}, "maxSessionDuration": 1.5},
        [
            ("tags.a", "expected string, got number"),
            ("maxSessionDuration", "expected integer, got number"),
        ],
    ),
    (
        "aws:iam/role:Role",
        {"assumeRolePolicy": UNKNOWN, "tags": {"a": UNKNOWN}, "inlinePolicies": UNKNOWN},
        [],
    ),
    ("aws:iam/role:Role", {"assumeRolePolicy": True}, [("assumeRolePolicy", "boolean")]),
    ("aws:iam/role:Role", {"assumeRolePolicy": "x", "tags": ["a"]}, [("tags", "expected map")]),
    (
        "gcp:orgpolicy/policy:Policy",
        {"parent": "p", "spec": {"rules": [{"enforce": True}]}},
        [("spec.rules[0].enforce", "expected string, got boolean")],
    ),
    (
        "gcp:secretmanager/secret:Secret",
        {"replication": {"auto": {}}, "labels": "x"},
        [("labels", "expected map, got string")],
    ),
]


@pytest.mark.parametrize(("token", "inputs", "expected"), CASES)
def test_the_schema_names_the_property_and_what_is_wrong(
    token: str, inputs: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    schema = type_schema(token)
    assert schema is not None
    found = schema.problems(inputs)
    assert [problem.property for problem in found] == [path for path, _ in expected]
    for problem, (_, reason) in zip(found, expected, strict=True):
        assert reason in problem.reason


@pytest.mark.parametrize("token", ["aws:iam/rol:Rol", "nopackage:a/b:C", "aws:nothing:Here", "x"])
def test_what_the_sdk_lacks_has_no_schema(token: str) -> None:
    assert type_schema(token) is None


def test_no_reason_quotes_a_value() -> None:
    schema = type_schema("aws:secretsmanager/secretVersion:SecretVersion")
    assert schema is not None
    (problem,) = schema.problems({"secretId": "s", "secretString": ["hidden"]})
    assert "hidden" not in problem.reason


@pytest.mark.parametrize("package", [PACKAGES["aws"], PACKAGES["gcp"]], ids=lambda p: p.name)
def test_a_package_refuses_credentials_and_accepts_its_settings(package: Package) -> None:
    good = {"aws": {"region": "r", "assumeRoles": '[{"roleArn": "x"}]'}, "gcp": {"project": "p"}}
    bad = {"aws": {"accessKey": "AKIA"}, "gcp": {"credentials": "{}"}}
    assert package.config_problems({**good[package.name], "version": "1.2.3"}) == []
    (problem,) = package.config_problems(bad[package.name])
    assert "takes its credentials from its own process" in problem.reason


def test_a_misspelled_key_in_a_structured_configuration_is_named() -> None:
    found = PACKAGES["aws"].config_problems({"assumeRoles": json.dumps([{"rolArn": "x"}])})
    assert [problem.property for problem in found] == ["assumeRoles[0].rolArn"]


def statement(**members: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **members}]})


SAME = [
    (statement(Action="a:B"), statement(Action=["a:B"])),
    (statement(Action=["a:B", "a:C"]), statement(Action=["a:C", "a:B"])),
    (statement(Sid="", Action="a:B"), statement(Action="a:B")),
    (
        statement(Principal={"AWS": "100000000001"}),
        statement(Principal={"AWS": ["arn:aws:iam::100000000001:root"]}),
    ),
    (
        statement(Condition={"Bool": {"aws:SecureTransport": True}}),
        statement(Condition={"Bool": {"aws:SecureTransport": ["true"]}}),
    ),
]
DIFFERENT = [
    (statement(Action="a:B"), statement(Action="a:C")),
    (statement(Action="a:B"), statement(NotAction="a:B")),
    (statement(Principal="*"), statement(Principal={"AWS": "100000000001"})),
    (
        statement(Condition={"Bool": {"aws:SecureTransport": "true"}}),
        statement(Condition={"Bool": {"aws:SecureTransport": "false"}}),
    ),
    (statement(Effect="Deny"), statement()),
    ("no JSON", statement()),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_a_policy_are_one(one: str, other: str) -> None:
    assert one != other
    assert policy_document(one) == policy_document(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_meanings_of_a_policy_are_two(one: str, other: str) -> None:
    assert policy_document(one) != policy_document(other)


def test_a_json_document_is_compared_by_value_and_other_text_by_itself() -> None:
    assert json_document('{"a": 1}') == json_document('{ "a":1 }')
    assert json_document("text") == "text"


def test_order_and_emptiness_mean_nothing_where_they_mean_nothing() -> None:
    assert unordered(["b", "a"]) == ["a", "b"]
    assert trimmed({"a": [{"b": None, "c": 1}], "d": {}, "e": ""}) == {"a": [{"c": 1}]}
