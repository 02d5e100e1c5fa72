"""Puts proposed policies in the place of granted ones, in a world, through the clouds' own APIs.

- Ids that a cloud makes up (of keys, say) differ between worlds: what is proposed for one is
  translated by names before it is put into another.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from iamrange.credentials.privileges.gcp_propose import POLICY as BINDINGS
from iamrange.credentials.privileges.gcp_propose import binding_json, with_bindings_of
from iamrange.credentials.privileges.vault_propose import PREFIX as IN_VAULT
from iamrange.credentials.vault.access import VaultAwayError, VaultRefusedError
from iamrange.range.privileges import project_of, read_project
from iamrange.range.privileges_vault import vault_of
from iamrange.range.processes import ProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iamrange.credentials.privileges.estate import Estate
    from iamrange.credentials.privileges.model import Proposal
    from iamrange.range.deployment import Deployment

_INLINE = "inline:"
_GONE = "NoSuchEntity"


def put(world: Deployment, proposals: Sequence[Proposal]) -> None:
    """Put proposals in the place of what they are for, through the clouds' and the vault's APIs.

    Raises:
        ProcessError, ReadError: one was refused.
    """
    in_vault = [one for one in proposals if one.policy.startswith(IN_VAULT)]
    in_clouds = [one for one in proposals if one not in in_vault]
    _put_policies(world, [one for one in in_clouds if one.policy != BINDINGS])
    _put_bindings(world, [one for one in in_clouds if one.policy == BINDINGS])
    _put_in_vault(world, in_vault)


def _put_in_vault(world: Deployment, proposals: Sequence[Proposal]) -> None:
    access = vault_of(world)
    for proposal in proposals:
        name = proposal.policy.removeprefix(IN_VAULT)
        if access is None:
            raise ProcessError(f"proposal for '{name}': expected a world with a vault, has none")
        # a vault takes no empty text: a comment grants as little
        document = proposal.document
        text = "# nothing of it was needed" if document is None else json.dumps(document)
        try:
            access.call("PUT", f"sys/policies/acl/{name}", {"policy": text})
        except (VaultRefusedError, VaultAwayError) as error:
            raise ProcessError(f"proposal for '{name}': {error}") from error


def _put_bindings(world: Deployment, proposals: Sequence[Proposal]) -> None:
    api = project_of(world)
    estate = read_project(world)
    for proposal in proposals:
        document = proposal.document or {}
        for role in document["roles"]:
            if role["name"] not in estate.roles:
                parent, _, identifier = role["name"].rpartition("/roles/")
                given = {key: value for key, value in role.items() if key != "name"}
                api.call("POST", f"v1/{parent}/roles", {"roleId": identifier, "role": given})
        after = with_bindings_of(estate, document)
        changed = {held.name: held for held in after.everything()}
        for held in estate.everything():
            if changed[held.name].bindings != held.bindings:
                policy = api.policy(held.name, held.kind)
                bindings = [binding_json(one) for one in changed[held.name].bindings]
                body = {"policy": {**policy, "version": 3, "bindings": bindings}}
                api.call("POST", f"v1/{held.name}:setIamPolicy", body)
        estate = after


def _put_policies(world: Deployment, proposals: Sequence[Proposal]) -> None:
    """Put policies through IAM's API.

    An attached policy may be others' too: it is detached, and the proposal is put in line.

    Raises:
        ProcessError: IAM refused a document.
    """
    key = world.world.aws_keys[world.landing.workloads]
    session = boto3.Session(
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        region_name=world.landing.region,
    )
    iam = session.client("iam", endpoint_url=world.world.aws_endpoint)
    for proposal in proposals:
        role = proposal.principal.rsplit("/", 1)[-1]
        inline = proposal.policy.startswith(_INLINE)
        name = proposal.policy.removeprefix(_INLINE)
        try:
            if not inline:
                iam.detach_role_policy(RoleName=role, PolicyArn=proposal.policy)
                name = f"proposed-{proposal.policy.rsplit('/', 1)[-1]}"
            if proposal.document is not None:
                text = json.dumps(proposal.document)
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)
            elif inline:
                iam.delete_role_policy(RoleName=role, PolicyName=name)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "?")
            if code != _GONE:
                raise ProcessError(
                    f"proposal for '{proposal.policy}' of {role}: {error.operation_name}: {code}"
                ) from error
        except BotoCoreError as error:
            raise ProcessError(f"AWS did not answer: {type(error).__name__}") from error


def translated(
    proposals: Sequence[Proposal], observed: Estate, fresh: Estate
) -> tuple[Proposal, ...]:
    """Return proposals with the ids that a cloud made up replaced by those of the fresh world.

    Raises:
        ProcessError: a resource has no counterpart of its name there.
    """
    known_as = {resource.known_as: resource.arn for resource in fresh.resources.values()}
    moved = {
        resource.arn: known_as.get(resource.known_as)
        for resource in observed.resources.values()
        if resource.arn not in fresh.resources
    }
    return tuple(_moved(proposal, moved) for proposal in proposals)


def _moved(proposal: Proposal, moved: Mapping[str, str | None]) -> Proposal:
    if proposal.document is None:
        return proposal
    text = json.dumps(proposal.document)
    for was, now in moved.items():
        if was in text:
            if now is None:
                raise ProcessError(
                    f"proposal for '{proposal.policy}' names {was}: expected its counterpart in a "
                    "fresh world, found none"
                )
            text = text.replace(was, now)
    return replace(proposal, document=json.loads(text))
