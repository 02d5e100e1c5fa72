"""Running the real program under Pulumi's mocks: run, then look at what was declared."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import runpy
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks, settings, stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[2]
GOOGLE_NUMBER = "113000000000000000001"


with warnings.catch_warnings():
    # the SDK's own module warns of its deprecated types when it is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    assert importlib.import_module("pulumi_aws.s3").Bucket  # loaded when first asked for something


@pytest.fixture(scope="session", autouse=True)
def event_loop_of_the_mocks() -> None:
    """Pulumi's mocks want a current loop; what ran before in this process may have left none."""
    asyncio.set_event_loop(asyncio.new_event_loop())


@dataclass(frozen=True)
class Declared:
    """One resource that the program declared."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    provider: str

    def document(self, of: str) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.inputs[of])
        return parsed


@dataclass
class Plan:
    """What one run declared: resources in the order of their declaration, and stack outputs."""

    resources: list[Declared] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, type_: str) -> dict[str, Declared]:
        found = {r.name: r for r in self.resources if r.type == type_}
        assert found, f"nothing of type {type_} was declared"
        return found

    def only(self, type_: str, name: str) -> Declared:
        return self.of(type_)[name]

    def by_key(self) -> dict[tuple[str, str], Declared]:
        keyed = {(r.type, r.name): r for r in self.resources}
        assert len(keyed) == len(self.resources), "two resources share a type and a name"
        return keyed


class RecordingMocks(mocks.Mocks):
    """Answers as the clouds do, as far as the program reads; an invoke is a failure."""

    def __init__(self, plan: Plan, *, unknown_outputs: bool) -> None:
        self.plan = plan
        self.unknown_outputs = unknown_outputs

    def call(self, args: mocks.MockCallArgs) -> NoReturn:
        raise AssertionError(f"unexpected invoke of {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        inputs = copy.deepcopy(args.inputs)
        if args.custom and not args.typ.startswith("pulumi:providers:"):
            self.plan.resources.append(Declared(args.typ, args.name, inputs, args.provider or ""))
        if self.unknown_outputs:
            return None, inputs
        return f"{args.name}-id", {**inputs, **_computed(args.typ, inputs)}


def _computed(type_: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    name = inputs.get("name", "")
    match type_:
        case "aws:iam/role:Role":
            return {"arn": f"arn:aws:iam::100000000002:role{inputs['path']}{name}"}
        case "aws:iam/policy:Policy":
            return {"arn": f"arn:aws:iam::100000000002:policy/{name}"}
        case "aws:iam/openIdConnectProvider:OpenIdConnectProvider":
            host = inputs["url"].removeprefix("https://")
            return {"arn": f"arn:aws:iam::100000000002:oidc-provider/{host}"}
        case "aws:secretsmanager/secret:Secret":
            return {"arn": f"arn:aws:secretsmanager:us-east-1:100000000002:secret:{name}-AbCdEf"}
        case "gcp:iam/workloadIdentityPool:WorkloadIdentityPool":
            pool = inputs["workloadIdentityPoolId"]
            parent = "projects/340000000001/locations/global"
            return {"name": f"{parent}/workloadIdentityPools/{pool}"}
        case "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider":
            pool = inputs["workloadIdentityPoolId"]
            provider = inputs["workloadIdentityPoolProviderId"]
            parent = "projects/340000000001/locations/global"
            return {"name": f"{parent}/workloadIdentityPools/{pool}/providers/{provider}"}
        case "gcp:serviceaccount/account:Account":
            email = f"{inputs['accountId']}@iamrange-agents.iam.gserviceaccount.com"
            return {
                "email": email,
                "member": f"serviceAccount:{email}",
                "uniqueId": GOOGLE_NUMBER,
                "name": f"projects/iamrange-agents/serviceAccounts/{email}",
            }
        case _:
            return {}


@pytest.fixture(scope="session")
def lab_config() -> Mapping[str, Any]:
    """Return the committed configuration of the lab stack."""
    config = yaml.safe_load((ROOT / "Pulumi.lab.yaml").read_text())["config"]
    assert config
    return dict(config)


class Declare(Protocol):
    """Runs the program with some settings changed, by their names with underscores."""

    def __call__(
        self,
        *,
        program: Callable[[], object] = ...,
        unknown_outputs: bool = False,
        **changes: object,
    ) -> Plan: ...


def _the_program() -> None:
    runpy.run_module("infra.__main__", run_name="__main__")


@pytest.fixture(scope="session")
def plans() -> dict[str, Plan]:
    """Keep what each configuration declared: the program is a function of it."""
    return {}


@pytest.fixture
def declare(
    lab_config: Mapping[str, Any], plans: dict[str, Plan], monkeypatch: pytest.MonkeyPatch
) -> Declare:
    """Return a function that runs the program with some settings of the lab stack changed."""
    # an Output turned into text passes every type checker; with this it raises
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")

    def run(
        *,
        program: Callable[[], object] = _the_program,
        unknown_outputs: bool = False,
        **changes: object,
    ) -> Plan:
        config = dict(lab_config)
        for name, value in changes.items():
            config[f"iamrange:{name.replace('_', '-')}"] = value
        config = {key: value for key, value in config.items() if value is not None}
        if program is not _the_program:
            return _run(program, config, unknown_outputs=unknown_outputs)
        key = json.dumps([config, unknown_outputs], sort_keys=True)
        if key not in plans:
            plans[key] = _run(program, config, unknown_outputs=unknown_outputs)
        return copy.deepcopy(plans[key])

    return run


def _run(
    program: Callable[[], object], config: Mapping[str, Any], *, unknown_outputs: bool
) -> Plan:
    pulumi.runtime.set_all_config(
        {k: v if isinstance(v, str) else json.dumps(v) for k, v in config.items()}
    )
    # the root keeps the outputs of the last run
    settings.ROOT.set(None)
    plan = Plan()
    recording = RecordingMocks(plan, unknown_outputs=unknown_outputs)
    mocks.set_mocks(recording, project="iamrange", stack="lab", preview=unknown_outputs)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]  # the SDK's decorator has no types
    def declaring() -> pulumi.Output[None]:
        program()
        root = settings.get_root_resource()
        assert isinstance(root, stack.Stack)
        return pulumi.Output.from_input(dict(root.outputs)).apply(plan.outputs.update)

    declaring()
    assert plan.resources, "the program declared nothing"
    return plan
