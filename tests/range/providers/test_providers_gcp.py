"""The Google Cloud types on the range's cloud: all that is written is there, and drift shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pulumi
import pulumi_gcp as gcp
import pytest

from iamrange.engine.gcp_types.package import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

# the SDK's own modules warn of its deprecated types when they are imported
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pulumi_gcp")

# clients and their answers are whatever the cloud's own library makes of them
Answer = Any
Live = Any


class Drift(NamedTuple):
    """One input of one resource: what was written, how it is read, how it is spoiled."""

    resource: str
    input: str
    written: Answer
    read: Callable[[Live], Answer]
    spoil: Callable[[Live], Answer]


PROJECT = "iamrange-agents"
BASE = f"/v1/projects/{PROJECT}"
POOL = f"{BASE}/locations/global/workloadIdentityPools/agents"
PROVIDER = f"{POOL}/providers/issuer"
ACCOUNT = f"{BASE}/serviceAccounts/worker@{PROJECT}.iam.gserviceaccount.com"
SECRET = f"{BASE}/secrets/secret"
ROLE = f"{BASE}/roles/custom"
POINT = f"cloudresourcemanager.googleapis.com%2Fprojects%2F{PROJECT}"
DENY = f"/v2/policies/{POINT}/denypolicies/deny"
CONSTRAINT = "iam.disableServiceAccountKeyCreation"
ORG_POLICY = f"/v2/projects/{PROJECT}/policies/{CONSTRAINT}"
ALLOWED = "iam.workloadIdentityPoolProviders"
GROUP = "principalSet://iam.googleapis.com/projects/340000000001/locations/global"
MEMBER = f"{GROUP}/workloadIdentityPools/agents/*"
OTHER = "user:other@example.com"
VIEWER = "roles/secretmanager.viewer"
CREATOR = "roles/iam.serviceAccountTokenCreator"
ADMIN = "roles/secretmanager.admin"
LABELS = {"owner": "range"}
ONE, TWO = "user:one@example.com", "user:two@example.com"


def declare() -> None:
    pool = gcp.iam.WorkloadIdentityPool(
        "pool",
        workload_identity_pool_id="agents",
        display_name="as written",
        description="as written",
    )
    gcp.iam.WorkloadIdentityPoolProvider(
        "provider",
        workload_identity_pool_id=pool.workload_identity_pool_id,
        workload_identity_pool_provider_id="issuer",
        display_name="as written",
        description="as written",
        attribute_mapping={"google.subject": "assertion.sub"},
        attribute_condition="assertion.sub == 'one'",
        oidc=gcp.iam.WorkloadIdentityPoolProviderOidcArgs(
            issuer_uri="https://idp.example.com", allowed_audiences=["one", "two"]
        ),
    )
    gcp.iam.DenyPolicy(
        "deny",
        parent=POINT,
        name="deny",
        display_name="as written",
        rules=[
            gcp.iam.DenyPolicyRuleArgs(
                description="as written",
                deny_rule=gcp.iam.DenyPolicyRuleDenyRuleArgs(
                    denied_principals=["principalSet://goog/public:all"],
                    denied_permissions=["iam.googleapis.com/roles.undelete"],
                ),
            )
        ],
    )
    account = gcp.serviceaccount.Account(
        "account", account_id="worker", display_name="as written", description="as written"
    )
    gcp.serviceaccount.IAMMember(
        "account-member",
        service_account_id=account.name,
        role="roles/iam.workloadIdentityUser",
        member=MEMBER,
    )
    gcp.serviceaccount.IAMBinding(
        "account-binding", service_account_id=account.name, role=CREATOR, members=[ONE, TWO]
    )
    gcp.serviceaccount.Key("key", service_account_id=account.name)
    secret = gcp.secretmanager.Secret(
        "secret",
        secret_id="secret",
        replication=gcp.secretmanager.SecretReplicationArgs(
            auto=gcp.secretmanager.SecretReplicationAutoArgs()
        ),
        labels=LABELS,
        annotations={"note": "as-written"},
        expire_time="2099-01-01T00:00:00Z",
    )
    gcp.secretmanager.SecretVersion(
        "version", secret=secret.id, secret_data=pulumi.Output.secret("hunter2")
    )
    gcp.secretmanager.SecretIamMember(
        "secret-member",
        secret_id=secret.secret_id,
        role="roles/secretmanager.secretAccessor",
        member=account.member,
    )
    gcp.secretmanager.SecretIamBinding(
        "secret-binding", secret_id=secret.secret_id, role=VIEWER, members=[ONE]
    )
    gcp.projects.IAMMember("member", project=PROJECT, role=VIEWER, member=account.member)
    gcp.projects.IAMMember(
        "conditional-member",
        project=PROJECT,
        role=VIEWER,
        member=ONE,
        condition=gcp.projects.IAMMemberConditionArgs(
            title="until", expression="request.time < timestamp('2099-01-01T00:00:00Z')"
        ),
    )
    gcp.projects.IAMBinding("binding", project=PROJECT, role=ADMIN, members=[ONE, TWO])
    gcp.projects.IAMCustomRole(
        "role",
        role_id="custom",
        title="as written",
        description="as written",
        stage="BETA",
        permissions=["iam.roles.get", "iam.roles.list"],
    )
    gcp.orgpolicy.Policy(
        "org-policy",
        name=f"projects/{PROJECT}/policies/{CONSTRAINT}",
        parent=f"projects/{PROJECT}",
        spec=gcp.orgpolicy.PolicySpecArgs(
            rules=[gcp.orgpolicy.PolicySpecRuleArgs(enforce="FALSE")]
        ),
    )
    gcp.orgpolicy.Policy(
        "org-policy-values",
        name=f"projects/{PROJECT}/policies/{ALLOWED}",
        parent=f"projects/{PROJECT}",
        spec=gcp.orgpolicy.PolicySpecArgs(
            rules=[
                gcp.orgpolicy.PolicySpecRuleArgs(
                    values=gcp.orgpolicy.PolicySpecRuleValuesArgs(
                        allowed_values=["https://idp.example.com", "https://b.example.com"]
                    )
                )
            ]
        ),
    )


def _get(path: str, *names: str) -> Callable[[Live], Answer]:
    def read(live: Live) -> Answer:
        found = live.client("GET", path)
        for name in names:
            found = found.get(name) if isinstance(found, dict) else found
        return found

    return read


def _patch(path: str, body: Answer) -> Callable[[Live], Answer]:
    return lambda live: live.client("PATCH", path, body, updateMask=",".join(body))


def _policy(live: Live, path: str) -> Answer:
    # Secret Manager alone reads a policy by GET
    if path == SECRET:
        return live.client("GET", f"{path}:getIamPolicy", None)
    options = {"options": {"requestedPolicyVersion": 3}}
    return live.client("POST", f"{path}:getIamPolicy", options)


def _binding(resource: str, path: str, role: str, written: list[str]) -> Drift:
    def read(live: Live) -> Answer:
        bindings = _policy(live, path)["bindings"]
        return next(sorted(b["members"]) for b in bindings if b["role"] == role)

    def spoil(live: Live) -> Answer:
        policy = _policy(live, path)
        next(b for b in policy["bindings"] if b["role"] == role)["members"].append(OTHER)
        return live.client("POST", f"{path}:setIamPolicy", {"policy": policy})

    return Drift(resource, "members", written, read, spoil)


HAND_RULES = [
    {
        "denyRule": {
            "deniedPrincipals": ["principalSet://goog/public:all"],
            "deniedPermissions": ["iam.googleapis.com/serviceAccounts.undelete"],
        }
    }
]


def _put_deny(live: Live) -> Answer:
    return live.client("PUT", DENY, {"displayName": "by hand", "rules": HAND_RULES})


def _spoiled_texts(resource: str, path: str) -> list[Drift]:
    return [
        Drift(resource, name, "as written", _get(path, name), _patch(path, {name: "by hand"}))
        for name in ("displayName", "description")
    ]


def _disabled(resource: str, path: str) -> Drift:
    return Drift(
        resource, "disabled", None, _get(path, "disabled"), _patch(path, {"disabled": True})
    )


def _spoil_account(name: str) -> Callable[[Live], Answer]:
    body = {"serviceAccount": {name: "by hand"}, "updateMask": name}
    return lambda live: live.client("PATCH", ACCOUNT, body)


def _secret(name: str, written: Answer, spoiled: Answer) -> Drift:
    return Drift("secret", name, written, _get(SECRET, name), _patch(SECRET, {name: spoiled}))


ISSUER = {"issuerUri": "https://idp.example.com"}
DRIFTS = [
    *_spoiled_texts("pool", POOL),
    _disabled("pool", POOL),
    *_spoiled_texts("provider", PROVIDER),
    _disabled("provider", PROVIDER),
    *(
        Drift("provider", name, written, _get(PROVIDER, name), _patch(PROVIDER, {name: spoiled}))
        for name, written, spoiled in (
            (
                "attributeMapping",
                {"google.subject": "assertion.sub"},
                {"google.subject": "assertion.email"},
            ),
            ("attributeCondition", "assertion.sub == 'one'", "true"),
            (
                "oidc",
                {**ISSUER, "allowedAudiences": ["one", "two"]},
                {**ISSUER, "allowedAudiences": ["by-hand"]},
            ),
        )
    ),
    Drift("deny", "displayName", "as written", _get(DENY, "displayName"), _put_deny),
    Drift(
        "deny",
        "rules",
        "as written",
        lambda live: _get(DENY, "rules")(live)[0].get("description"),
        _put_deny,
    ),
    *(
        Drift("account", name, "as written", _get(ACCOUNT, name), _spoil_account(name))
        for name in ("displayName", "description")
    ),
    Drift(
        "account",
        "disabled",
        None,
        _get(ACCOUNT, "disabled"),
        lambda live: live.client("POST", f"{ACCOUNT}:disable", {}),
    ),
    _binding("account-binding", ACCOUNT, CREATOR, [ONE, TWO]),
    _binding("secret-binding", SECRET, VIEWER, [ONE]),
    _binding("binding", BASE, ADMIN, [ONE, TWO]),
    _secret("labels", LABELS, {"by": "hand"}),
    _secret("annotations", {"note": "as-written"}, {"note": "by-hand"}),
    _secret("expireTime", "2099-01-01T00:00:00Z", "2098-01-01T00:00:00Z"),
    _secret("versionAliases", None, {"hand": "1"}),
    Drift(
        "version",
        "enabled",
        "ENABLED",
        _get(f"{SECRET}/versions/1", "state"),
        lambda live: live.client("POST", f"{SECRET}/versions/1:disable", {}),
    ),
    *(
        Drift("role", ours, written, _get(ROLE, theirs), _patch(ROLE, {theirs: spoiled}))
        for ours, theirs, written, spoiled in (
            ("title", "title", "as written", "by hand"),
            ("description", "description", "as written", "by hand"),
            ("stage", "stage", "BETA", "ALPHA"),
            (
                "permissions",
                "includedPermissions",
                ["iam.roles.get", "iam.roles.list"],
                ["iam.roles.create"],
            ),
        )
    ),
    Drift(
        "org-policy",
        "spec",
        [{"enforce": False}],
        _get(ORG_POLICY, "spec", "rules"),
        lambda live: live.client("PATCH", ORG_POLICY, {"spec": {"rules": [{"enforce": True}]}}),
    ),
]


def test_every_input_drift_of_gcp_shows_in_refresh_and_is_put_right(
    engine: Callable[..., Answer], gcp_cloud: Answer, prove_drift: Callable[..., None]
) -> None:
    prove_drift(engine(declare), DRIFTS, TYPES, gcp_cloud.call)


def test_gcp_resources_can_be_imported_and_their_loss_shows(
    prove_import_and_loss: Callable[..., None],
) -> None:
    prove_import_and_loss(declare, set())
