"""How the providers behave under the real engine: changes, refusals, secrets, accounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_aws as aws
import pulumi_gcp as gcp
import pytest
from pulumi.automation import CommandError

from iamrange.engine.server import AwsEndpoint, ProviderEndpoints, serve

if TYPE_CHECKING:
    from collections.abc import Callable

# the SDK's own modules warn of its deprecated types when they are imported
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_aws"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_gcp"),
    # the SDK drops its own coroutines when a program fails
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

# what the engine's fixtures and the clouds' clients answer
Answer = Any
MANAGEMENT, WORKLOADS, SECURITY = "100000000001", "100000000002", "100000000003"
ACCESS_ROLE = "OrganizationAccountAccessRole"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": MANAGEMENT},
            "Action": "sts:AssumeRole",
            "Condition": {"Bool": {"aws:SecureTransport": True}},
        }
    ],
}
# the same, as another hand would write it
TRUST_REWRITTEN = """{
  "Statement": {"Condition": {"Bool": {"aws:SecureTransport": ["true"]}},
                "Action": ["sts:AssumeRole"], "Effect": "Allow", "Sid": "",
                "Principal": {"AWS": ["arn:aws:iam::100000000001:root"]}},
  "Version": "2012-10-17"}"""


def only(program: Callable[[], Answer]) -> Callable[[], None]:
    """Return a program that declares something and returns nothing."""

    def run() -> None:
        program()

    return run


def role(name: str = "role", trust: str = json.dumps(TRUST), **more: Answer) -> aws.iam.Role:
    return aws.iam.Role(name, assume_role_policy=trust, **more)


def test_formatting_of_a_policy_is_no_difference(engine: Callable[..., Answer]) -> None:
    stack = engine(only(role))
    stack.up()
    stack.run_program(only(lambda: role(trust=TRUST_REWRITTEN)))
    assert stack.up().changed == {}
    stack.run_program(only(lambda: role(trust=TRUST_REWRITTEN.replace("true", "false"))))
    assert stack.up().changed == {"role": "update"}


def test_a_change_updates_and_a_change_of_identity_replaces(
    engine: Callable[..., Answer], aws_cloud: Answer
) -> None:
    stack = engine(only(lambda: role(name="role", description="one")))
    stack.up()
    first = stack.state()["role"]["id"]
    stack.run_program(only(lambda: role(description="two")))
    assert stack.up().changed == {"role": "update"}
    stack.run_program(only(lambda: role(description="two", path="/agents/")))
    replaced = stack.up()
    assert "path" in replaced.differences["role"]
    second = stack.state()["role"]["id"]
    assert second != first
    names = [item["RoleName"] for item in aws_cloud.client("iam").list_roles()["Roles"]]
    assert names == [second]


def test_a_fixed_name_is_deleted_before_it_is_replaced(engine: Callable[..., Answer]) -> None:
    def fixed(path: str) -> None:
        aws.iam.Role("role", name="fixed", path=path, assume_role_policy=json.dumps(TRUST))

    stack = engine(lambda: fixed("/one/"))
    stack.up()
    stack.run_program(lambda: fixed("/two/"))
    stack.up()
    assert stack.state()["role"]["outputs"]["path"] == "/two/"


def test_a_preview_knows_what_will_be_unknown(engine: Callable[..., Answer]) -> None:
    def program() -> None:
        made = role()
        aws.iam.RolePolicy(
            "policy",
            role=made.name,
            policy=made.arn.apply(
                lambda arn: json.dumps(
                    {
                        "Version": "2012-10-17",
                        "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": arn}],
                    }
                )
            ),
        )
        pulumi.export("arn", made.arn)

    stack = engine(program)
    planned = stack.preview()
    assert planned.changed == {"role": "create", "policy": "create"}
    assert "[unknown]" in planned.text
    assert stack.up().outputs["arn"].startswith(f"arn:aws:iam::{MANAGEMENT}:role/role-")


def test_a_secret_is_readable_in_the_cloud_and_in_no_state(
    engine: Callable[..., Answer], aws_cloud: Answer
) -> None:
    def program() -> None:
        secret = aws.secretsmanager.Secret("secret", name="secret", recovery_window_in_days=0)
        version = aws.secretsmanager.SecretVersion(
            "version", secret_id=secret.id, secret_string=pulumi.Output.secret("hunter2hunter2")
        )
        user = aws.iam.User("user", name="user")
        key = aws.iam.AccessKey("key", user=user.name)
        pulumi.export("value", version.secret_string)
        pulumi.export("key", key.secret)

    stack = engine(program)
    run = stack.up()
    client = aws_cloud.client("secretsmanager")
    assert client.get_secret_value(SecretId="secret")["SecretString"] == "hunter2hunter2"
    assert run.outputs["value"] == "hunter2hunter2"
    everything = b"".join(path.read_bytes() for path in stack.folder.rglob("*") if path.is_file())
    assert b"hunter2hunter2" not in everything
    assert run.outputs["key"].encode() not in everything
    assert "hunter2hunter2" not in run.text
    assert run.outputs["key"] not in run.text


def test_default_tags_reach_the_cloud_and_are_told_from_a_resource_s_own(
    engine: Callable[..., Answer], aws_cloud: Answer
) -> None:
    def program(owner: str) -> None:
        provider = aws.Provider(
            "tagged",
            region="us-east-1",
            default_tags=aws.ProviderDefaultTagsArgs(tags={"owner": owner, "part": "default"}),
        )
        made = aws.iam.Role(
            "role",
            name="role",
            assume_role_policy=json.dumps(TRUST),
            tags={"part": "own"},
            opts=pulumi.ResourceOptions(provider=provider),
        )
        pulumi.export("tags", made.tags)
        pulumi.export("all", made.tags_all)

    stack = engine(lambda: program("one"))
    assert stack.up().outputs == {
        "tags": {"part": "own"},
        "all": {"owner": "one", "part": "own"},
    }
    stack.run_program(lambda: program("two"))
    assert stack.up().changed == {"role": "update"}
    tags = aws_cloud.client("iam").list_role_tags(RoleName="role")["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"owner": "two", "part": "own"}
    assert stack.refresh().changed == {}


def member(name: str, account: str) -> aws.Provider:
    return aws.Provider(
        name,
        region="us-east-1",
        allowed_account_ids=[account],
        assume_roles=[
            aws.ProviderAssumeRoleArgs(
                role_arn=f"arn:aws:iam::{account}:role/{ACCESS_ROLE}", session_name="range"
            )
        ],
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_each_account_of_a_stack_gets_its_own_resources_and_loses_them(
    order: tuple[int, ...], engine: Callable[..., Answer], aws_cloud: Answer
) -> None:
    accounts = [MANAGEMENT, WORKLOADS, SECURITY]

    def program() -> None:
        for index in order:
            account = accounts[index]
            provider = (
                aws.Provider(f"p{index}", region="us-east-1")
                if account == MANAGEMENT
                else member(f"p{index}", account)
            )
            options = pulumi.ResourceOptions(provider=provider)
            made = aws.iam.Role(
                f"role-{account}",
                name=f"role-{account}",
                assume_role_policy=json.dumps(TRUST),
                opts=options,
            )
            who = aws.get_caller_identity_output(opts=pulumi.InvokeOptions(provider=provider))
            pulumi.export(account, pulumi.Output.all(made.arn, who.account_id))

    def ours() -> dict[str, list[str]]:
        return {
            account: [
                item["RoleName"]
                for item in aws_cloud.client("iam", account).list_roles()["Roles"]
                if item["RoleName"].startswith("role-")
            ]
            for account in accounts
        }

    stack = engine(program)
    outputs = stack.up().outputs
    assert outputs == {a: [f"arn:aws:iam::{a}:role/role-{a}", a] for a in accounts}
    assert ours() == {account: [f"role-{account}"] for account in accounts}
    assert stack.refresh().changed == {}
    stack.destroy()
    assert ours() == {account: [] for account in accounts}


def test_an_account_that_is_not_allowed_is_refused(engine: Callable[..., Answer]) -> None:
    def program() -> None:
        wrong = aws.Provider(
            "wrong",
            region="us-east-1",
            allowed_account_ids=[SECURITY],
            assume_roles=[
                aws.ProviderAssumeRoleArgs(role_arn=f"arn:aws:iam::{WORKLOADS}:role/{ACCESS_ROLE}")
            ],
        )
        aws.iam.Role(
            "role",
            assume_role_policy=json.dumps(TRUST),
            opts=pulumi.ResourceOptions(provider=wrong),
        )

    with pytest.raises(CommandError, match="is not among allowedAccountIds"):
        engine(program).up()


def test_functions_answer_for_the_provider_that_is_asked(engine: Callable[..., Answer]) -> None:
    def program() -> None:
        pulumi.export("account", aws.get_caller_identity().account_id)
        pulumi.export("region", aws.get_region().region)
        pulumi.export("partition", aws.get_partition().partition)
        pulumi.export("number", gcp.organizations.get_project(project_id="iamrange-agents").number)
        pulumi.export("project", gcp.organizations.get_client_config().project)
        made = role(name="role")
        found = aws.iam.get_role_output(name=made.name)
        pulumi.export("same", pulumi.Output.all(made.arn, found.arn).apply(lambda a: a[0] == a[1]))
        organization = aws.organizations.get_organization()
        pulumi.export("members", sorted(a.id for a in organization.non_master_accounts))
        statement: Answer = {
            "sid": "One",
            "actions": ["s3:GetObject"],
            "resources": ["arn:aws:s3:::bucket/&{aws:username}/*"],
            "principals": [{"type": "AWS", "identifiers": [made.arn]}],
            "conditions": [
                {"test": "StringEquals", "variable": "aws:RequestedRegion", "values": ["a"]}
            ],
        }
        document = aws.iam.get_policy_document_output(statements=[statement])
        pulumi.export("document", document.json)

    stack = engine(program)
    assert stack.preview().changed == {"role": "create"}
    outputs = stack.up().outputs
    statement = json.loads(outputs.pop("document"))["Statement"][0]
    arn = stack.state()["role"]["outputs"]["arn"]
    assert statement == {
        "Sid": "One",
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::bucket/${aws:username}/*",
        "Principal": {"AWS": arn},
        "Condition": {"StringEquals": {"aws:RequestedRegion": "a"}},
    }
    assert outputs == {
        "account": MANAGEMENT,
        "region": "us-east-1",
        "partition": "aws",
        "number": "340000000001",
        "project": "iamrange-agents",
        "same": True,
        "members": [WORKLOADS, SECURITY],
    }


REFUSED: dict[str, tuple[Callable[[], Answer], str]] = {
    "a type that the provider lacks": (
        lambda: aws.sqs.Queue("q"),
        "the embedded aws provider has no type aws:sqs/queue:Queue; has aws:cloudtrail/trail:Trail",
    ),
    "an input that the SDK knows and the handler does not": (
        lambda: aws.kms.Alias("a", target_key_id="k", name_prefix="x"),
        (
            "property namePrefix value {x} has a problem: not implemented by the embedded "
            "provider; has ['name', 'targetKeyId']"
        ),
    ),
    "a misspelled nested input": (
        lambda: role(inline_policies=[{"nmae": "x"}]),
        (
            "property inlinePolicies[0].nmae value {<nil>} has a problem: no such property; "
            "has ['name', 'policy']"
        ),
    ),
    "a wrong kind": (
        lambda: role(max_session_duration="long"),
        "property maxSessionDuration value {long} has a problem: expected integer, got string",
    ),
    "a token of the stack's own": (
        lambda: __import__("pulumi_vault").Mount(
            "m",
            path="kv",
            type="kv",
            opts=pulumi.ResourceOptions(
                provider=__import__("pulumi_vault").Provider(
                    "p", address="https://vault.example.com", token="root"
                )
            ),
        ),
        "the embedded provider takes its credentials from its own process",
    ),
    "credentials of the stack's own": (
        lambda: role(
            opts=pulumi.ResourceOptions(
                provider=aws.Provider("p", region="us-east-1", access_key="AKIA", secret_key="x")
            )
        ),
        "the embedded provider takes its credentials from its own process",
    ),
    "an account that the range does not have": (
        lambda: role(
            opts=pulumi.ResourceOptions(
                provider=aws.Provider("p", region="us-east-1", allowed_account_ids=["999999999999"])
            )
        ),
        "allowedAccountIds ['999999999999']: none is an account of this range",
    ),
    "a project that the range does not have": (
        lambda: gcp.serviceaccount.Account(
            "a",
            account_id="worker",
            opts=pulumi.ResourceOptions(provider=gcp.Provider("p", project="elsewhere")),
        ),
        "project 'elsewhere' is not one of this range; has ['iamrange-agents'",
    ),
    "a function that the provider lacks": (
        aws.get_availability_zones,
        "the embedded aws provider has no function aws:index/getAvailabilityZones",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_is_not_served_is_refused_by_name(case: str, engine: Callable[..., Answer]) -> None:
    program, message = REFUSED[case]
    stack = engine(only(program))
    with pytest.raises(CommandError) as refusal:
        stack.preview()
    assert message in str(refusal.value)


def test_an_error_of_the_cloud_is_shown_with_its_code(engine: Callable[..., Answer]) -> None:
    broken = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps"}]})
    stack = engine(only(lambda: role(trust=broken)))
    with pytest.raises(CommandError) as refusal:
        stack.up()
    assert "error: MalformedPolicyDocument: " in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


def test_a_half_created_resource_is_kept_and_completed_by_the_next_run(
    engine: Callable[..., Answer], aws_cloud: Answer
) -> None:
    def program(action: str) -> None:
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}],
        }
        own = aws.iam.RoleInlinePolicyArgs(name="own", policy=json.dumps(policy))
        role(name="role", inline_policies=[own])

    stack = engine(lambda: program("no colon"))
    with pytest.raises(CommandError, match="MalformedPolicyDocument"):
        stack.up()
    made = stack.state()["role"]["id"]
    stack.run_program(lambda: program("s3:GetObject"))
    assert stack.up().changed == {"role": "update"}
    assert stack.state()["role"]["id"] == made
    found = aws_cloud.client("iam").list_role_policies(RoleName=made)["PolicyNames"]
    assert found == ["own"]
    stack.destroy()


def test_up_destroy_and_up_again_works_on_names_that_google_keeps(
    engine: Callable[..., Answer],
) -> None:
    def program() -> None:
        gcp.iam.WorkloadIdentityPool("pool", workload_identity_pool_id="agents", description="x")
        gcp.projects.IAMCustomRole(
            "role", role_id="custom", title="t", permissions=["iam.roles.get"]
        )

    stack = engine(program)
    for _ in range(2):
        assert set(stack.up().changed.values()) == {"create"}
        assert set(stack.destroy().changed.values()) == {"delete"}


def test_a_secret_input_of_a_half_created_resource_is_in_no_state(
    engine: Callable[..., Answer],
) -> None:
    def program() -> None:
        broken = aws.iam.RoleInlinePolicyArgs(name="own", policy="{}")
        hidden = pulumi.Output.secret("hunter2hunter2")
        role(name="role", description=hidden, inline_policies=[broken])

    stack = engine(program)
    for run in (stack.up, stack.up, stack.refresh):
        try:
            run()
        except CommandError as error:
            assert "hunter2hunter2" not in str(error)  # noqa: PT017 - both outcomes are looked at
        assert stack.state()["role"]["id"]
        paths = [path for path in stack.folder.rglob("*") if path.is_file()]
        leaks = [path.name for path in paths if b"hunter2hunter2" in path.read_bytes()]
        assert leaks == []


def test_an_imported_role_leaves_what_others_gave_it_alone(
    engine: Callable[..., Answer], aws_cloud: Answer
) -> None:
    iam = aws_cloud.client("iam")
    iam.create_role(RoleName="byhand", AssumeRolePolicyDocument=json.dumps(TRUST))
    taken = pulumi.ResourceOptions(import_="byhand")
    named = engine(
        only(
            lambda: aws.iam.Role(
                "role", name="byhand", assume_role_policy=json.dumps(TRUST), opts=taken
            )
        )
    )
    assert named.up().changed == {"role": "import"}
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
    }
    iam.put_role_policy(RoleName="byhand", PolicyName="others", PolicyDocument=json.dumps(document))
    assert named.refresh().changed == {}
    assert named.up().changed == {}
    with pytest.raises(CommandError, match="DeleteConflict"):
        named.destroy()
    assert iam.list_role_policies(RoleName="byhand")["PolicyNames"] == ["others"]


def test_two_projects_of_a_stack_get_their_own_resources(
    engine: Callable[..., Answer], gcp_cloud: Answer
) -> None:
    projects = ("iamrange-agents", "iamrange-security")

    def program() -> None:
        for project in projects:
            options = pulumi.ResourceOptions(provider=gcp.Provider(project, project=project))
            made = gcp.serviceaccount.Account(project, account_id="worker", opts=options)
            gcp.projects.IAMMember(
                f"{project}-viewer",
                project=project,
                role="roles/secretmanager.viewer",
                member=made.member,
                opts=options,
            )
            pulumi.export(project, made.email)

    stack = engine(program)
    emails = {project: f"worker@{project}.iam.gserviceaccount.com" for project in projects}
    assert stack.up().outputs == emails
    assert stack.refresh().changed == {}
    found = gcp_cloud.call("GET", "/v1/projects/iamrange-agents/serviceAccounts")["accounts"]
    assert [account["email"] for account in found] == [emails["iamrange-agents"]]
    stack.destroy()
    assert gcp_cloud.call("GET", "/v1/projects/iamrange-agents/serviceAccounts") == {}


def test_the_endpoint_comes_from_the_provider_s_process_and_never_from_the_state(
    engine: Callable[..., Answer], aws_cloud: Answer, request: pytest.FixtureRequest
) -> None:
    stack = engine(only(role))
    stack.up()
    state = json.dumps(stack.state())
    assert aws_cloud.url.rpartition(":")[2] not in state
    assert aws_cloud.accounts[MANAGEMENT].access_key_id not in state
    nowhere = AwsEndpoint("http://127.0.0.1:9", aws_cloud.accounts, management=MANAGEMENT)
    running = serve(ProviderEndpoints(aws=nowhere))
    request.addfinalizer(running.stop)
    stack.attach(running.debug_providers)
    with pytest.raises(CommandError, match=r"EndpointConnectionError: .*http://127\.0\.0\.1:9/"):
        stack.refresh()


def test_an_account_made_in_the_same_run_can_be_provisioned_at_once(
    engine: Callable[..., Answer],
) -> None:
    def program() -> None:
        account = aws.organizations.Account(
            "account",
            name="fresh",
            email="fresh@example.com",
            role_name=ACCESS_ROLE,
            close_on_deletion=True,
        )
        arn = account.id.apply(lambda number: f"arn:aws:iam::{number}:role/{ACCESS_ROLE}")
        inside = aws.Provider(
            "inside",
            region="us-east-1",
            assume_roles=[aws.ProviderAssumeRoleArgs(role_arn=arn)],
        )
        made = role(opts=pulumi.ResourceOptions(provider=inside))
        pulumi.export("same", pulumi.Output.all(made.arn, account.id))

    stack = engine(program)
    assert stack.preview().changed == {"account": "create", "role": "create"}
    arn, number = stack.up().outputs["same"]
    assert arn.startswith(f"arn:aws:iam::{number}:role/role-")
    assert stack.up().changed == {}
    stack.destroy()
    assert stack.state() == {}


def test_a_name_may_be_generated_from_a_prefix(engine: Callable[..., Answer]) -> None:
    stack = engine(only(lambda: role(name_prefix="agent-")))
    stack.up()
    made = stack.state()["role"]["id"]
    assert made.startswith("agent-")
    assert len(made) > len("agent-")
    assert stack.up().changed == {}
    assert stack.refresh().changed == {}
    stack.run_program(only(lambda: role(name_prefix="other-")))
    stack.up()
    assert stack.state()["role"]["id"].startswith("other-")
