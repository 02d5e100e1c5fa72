"""Workload identity pools and their OIDC providers: iam.googleapis.com/v1.

- Both are soft-deleted: the name stays taken for 30 days, and undelete brings it back.
- Projects are named by id or number in requests, by number in answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.gcp import operations, provider_rules
from iamrange.clouds.gcp.access import Access, denied
from iamrange.clouds.gcp.errors import (
    ApiError,
    already_exists,
    invalid_argument,
    not_found,
    unknown_member,
)
from iamrange.clouds.gcp.paging import page
from iamrange.clouds.gcp.state import SOFT_DELETE_SECONDS, Pool, Project, Provider, timestamp
from iamrange.clouds.gcp.wire import Body, Call, Route, message, service_routes
from iamrange.core.decision import Effect, LayerAnswer, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.gcp.cel import Expression
    from iamrange.clouds.gcp.org_policy import OrganizationPolicies

_BASE: Final = "/v1/projects/{project}/locations/global/workloadIdentityPools"
_POOL: Final = _BASE + "/{pool}"
_PROVIDERS: Final = _POOL + "/providers"
_PROVIDER: Final = _PROVIDERS + "/{provider}"
GUARD: Final = "gcp.write-guard"
_GUARD_LAYERS: Final = ("settings", "mapping", "attribute-condition", "shared-issuer")
_POOL_TYPE: Final = "google.iam.v1.WorkloadIdentityPool"
_PROVIDER_TYPE: Final = "google.iam.v1.WorkloadIdentityPoolProvider"
_POOL_FIELDS: Final = ("displayName", "description", "disabled")
_PROVIDER_FIELDS: Final = (*_POOL_FIELDS, "attributeMapping", "attributeCondition", "oidc")


class Pools:
    """The two collections."""

    def __init__(self, access: Access, organization_policies: OrganizationPolicies) -> None:
        """Take the shared access and the organisation policies that bind issuers."""
        self._access = access
        self._state = access.state
        self._organization_policies = organization_policies

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return service_routes(
            "iam.googleapis.com",
            [
                ("POST", _BASE, self.create_pool),
                ("GET", _BASE, self.list_pools),
                ("GET", _POOL, self.get_pool),
                ("PATCH", _POOL, self.patch_pool),
                ("DELETE", _POOL, self.delete_pool),
                ("POST", _POOL + ":undelete", self.undelete_pool),
                ("POST", _PROVIDERS, self.create_provider),
                ("GET", _PROVIDERS, self.list_providers),
                ("GET", _PROVIDER, self.get_provider),
                ("PATCH", _PROVIDER, self.patch_provider),
                ("DELETE", _PROVIDER, self.delete_provider),
                ("POST", _PROVIDER + ":undelete", self.undelete_provider),
                ("GET", _POOL + "/operations/{operation}", self.get_operation),
                ("GET", _PROVIDER + "/operations/{operation}", self.get_operation),
            ],
        )

    def get_operation(self, call: Call, **_: str) -> Body:
        """Return an operation; its name is a secret between the API and who started it."""
        return operations.find(self._state, call.path.removeprefix("/v1/"))

    def create_pool(self, call: Call, project: str) -> Body:
        """Create a pool."""
        owner = self._authorized(call, project, "iam.workloadIdentityPools.create")
        pool_id = call.query.get("workloadIdentityPoolId", "")
        provider_rules.check_id(pool_id, "workload identity pool ID", provider_rules.POOL_ID_LENGTH)
        document = _chosen(call.json(), _POOL_FIELDS)
        provider_rules.check_texts(document)
        if self._live_name(self._state.pools.get((owner.number, pool_id))):
            raise already_exists()
        pool = Pool(pool_id, owner, document)
        self._state.pools[(owner.number, pool_id)] = pool
        return self._operation(pool.name, _POOL_TYPE, pool_to_json(pool))

    def list_pools(self, call: Call, project: str) -> Body:
        """List a project's pools."""
        owner = self._authorized(call, project, "iam.workloadIdentityPools.list")
        deleted = call.query.get("showDeleted") == "true"
        pools = [
            pool_to_json(pool)
            for pool in self._state.pools.values()
            if pool.project is owner and (deleted or pool.deleted_at is None)
        ]
        return page(call, "workloadIdentityPools", pools)

    def get_pool(self, call: Call, project: str, pool: str) -> Body:
        """Return a pool."""
        return pool_to_json(self._pool(call, project, pool, "iam.workloadIdentityPools.get"))

    def patch_pool(self, call: Call, project: str, pool: str) -> Body:
        """Change what the update mask names."""
        found = self._pool(call, project, pool, "iam.workloadIdentityPools.update")
        _must_live(found.deleted_at)
        document = _patched(found.document, call, _POOL_FIELDS)
        provider_rules.check_texts(document)
        found.document = document
        return self._operation(found.name, _POOL_TYPE, pool_to_json(found))

    def delete_pool(self, call: Call, project: str, pool: str) -> Body:
        """Delete a pool softly."""
        found = self._pool(call, project, pool, "iam.workloadIdentityPools.delete")
        _must_live(found.deleted_at)
        found.deleted_at = self._access.clock.now()
        return self._operation(found.name, _POOL_TYPE, pool_to_json(found))

    def undelete_pool(self, call: Call, project: str, pool: str) -> Body:
        """Bring a deleted pool back."""
        found = self._pool(call, project, pool, "iam.workloadIdentityPools.undelete")
        _must_be_deleted(found.deleted_at)
        found.deleted_at = None
        return self._operation(found.name, _POOL_TYPE, pool_to_json(found))

    def create_provider(self, call: Call, project: str, pool: str) -> Body:
        """Create a provider in a pool."""
        found = self._pool(call, project, pool, "iam.workloadIdentityPoolProviders.create")
        _must_live(found.deleted_at)
        provider_id = call.query.get("workloadIdentityPoolProviderId", "")
        provider_rules.check_id(
            provider_id, "workload identity pool provider ID", provider_rules.PROVIDER_ID_LENGTH
        )
        made = self._checked(call, found, provider_id, _chosen(call.json(), _PROVIDER_FIELDS))
        old = found.providers.get(provider_id)
        if old is not None and not self._expired(old.deleted_at):
            raise already_exists()
        found.providers[provider_id] = made
        return self._provider_operation(found, made)

    def list_providers(self, call: Call, project: str, pool: str) -> Body:
        """List a pool's providers."""
        found = self._pool(call, project, pool, "iam.workloadIdentityPoolProviders.list")
        deleted = call.query.get("showDeleted") == "true"
        providers = [
            provider_to_json(found, provider)
            for provider in found.providers.values()
            if deleted or provider.deleted_at is None
        ]
        return page(call, "workloadIdentityPoolProviders", providers)

    def get_provider(self, call: Call, project: str, pool: str, provider: str) -> Body:
        """Return a provider."""
        found, one = self._provider(call, project, pool, provider, "get")
        return provider_to_json(found, one)

    def patch_provider(self, call: Call, project: str, pool: str, provider: str) -> Body:
        """Change what the update mask names."""
        found, one = self._provider(call, project, pool, provider, "update")
        _must_live(one.deleted_at)
        document = _patched(one.document, call, _PROVIDER_FIELDS)
        made = self._checked(call, found, provider, document)
        one.document, one.mapping, one.condition = made.document, made.mapping, made.condition
        return self._provider_operation(found, one)

    def delete_provider(self, call: Call, project: str, pool: str, provider: str) -> Body:
        """Delete a provider softly."""
        found, one = self._provider(call, project, pool, provider, "delete")
        _must_live(one.deleted_at)
        one.deleted_at = self._access.clock.now()
        return self._provider_operation(found, one)

    def undelete_provider(self, call: Call, project: str, pool: str, provider: str) -> Body:
        """Bring a deleted provider back."""
        found, one = self._provider(call, project, pool, provider, "undelete")
        _must_be_deleted(one.deleted_at)
        one.deleted_at = None
        return self._provider_operation(found, one)

    def _checked(self, call: Call, pool: Pool, provider_id: str, document: Body) -> Provider:
        mapping, condition = self._guarded(call, f"{pool.name}/providers/{provider_id}", document)
        self._organization_policies.require_allowed_value(
            call,
            pool.project,
            "iam.workloadIdentityPoolProviders",
            str(document["oidc"]["issuerUri"]),
            f"orgpolicy:projects/{pool.project.id}/locations/global/workloadIdentityPools/{pool.id}",
        )
        return Provider(provider_id, document, mapping, condition)

    def _guarded(
        self, call: Call, name: str, document: Body
    ) -> tuple[dict[str, Expression], Expression | None]:
        """Return what the document compiles to, having recorded what the write guard says.

        Raises:
            ApiError: 400, or 501 for kinds of provider that are not served.
        """
        provider_rules.check_texts(document)
        problems: dict[str, ApiError] = {}
        made: dict[str, Any] = {}
        for layer, check in (
            ("settings", provider_rules.check_oidc),
            ("mapping", provider_rules.compile_mapping),
            ("attribute-condition", provider_rules.compile_attribute_condition),
        ):
            try:
                made[layer] = check(document)
            except ApiError as error:
                problems[layer] = error
        if "settings" not in problems and "attribute-condition" not in problems:
            try:
                provider_rules.require_claim_on_shared_issuer(document, made["attribute-condition"])
            except ApiError as error:
                problems["shared-issuer"] = error
        layers = tuple(_guard_answer(layer, problems) for layer in _GUARD_LAYERS)
        action = "iam.workloadIdentityPoolProviders.write"
        outcome, decided = self._access.decide(call, GUARD, action, name, layers, _combine_guard)
        if outcome is Outcome.DENY:
            refusing = next(layer.layer for layer in decided if layer.refuses)
            raise problems.get(refusing) or invalid_argument("The provider is refused.")
        if len(made) < len(_GUARD_LAYERS) - 1:
            # a rogue let through what cannot be stored
            raise next(iter(problems.values()))
        return made["mapping"], made["attribute-condition"]

    def _authorized(self, call: Call, project: str, permission: str) -> Project:
        owner = self._state.project(project)
        if owner is None:
            raise denied(permission, f"projects/{project}")
        self._access.require(call, permission, self._access.project_target(owner))
        return owner

    def _pool(self, call: Call, project: str, pool: str, permission: str) -> Pool:
        owner = self._authorized(call, project, permission)
        found = self._state.pools.get((owner.number, pool))
        if found is None or self._expired(found.deleted_at):
            raise not_found()
        return found

    def _provider(
        self, call: Call, project: str, pool: str, provider: str, verb: str
    ) -> tuple[Pool, Provider]:
        found = self._pool(call, project, pool, f"iam.workloadIdentityPoolProviders.{verb}")
        one = found.providers.get(provider)
        if one is None or self._expired(one.deleted_at):
            raise not_found()
        return found, one

    def _live_name(self, pool: Pool | None) -> bool:
        return pool is not None and not self._expired(pool.deleted_at)

    def _expired(self, deleted_at: float | None) -> bool:
        return (
            deleted_at is not None and self._access.clock.now() - deleted_at > SOFT_DELETE_SECONDS
        )

    def _provider_operation(self, pool: Pool, provider: Provider) -> Body:
        name = f"{pool.name}/providers/{provider.id}"
        return self._operation(name, _PROVIDER_TYPE, provider_to_json(pool, provider))

    def _operation(self, parent: str, type_name: str, response: Body) -> Body:
        return operations.finished(self._state, parent, type_name, response)


def pool_to_json(pool: Pool) -> Body:
    """Return a pool as the API shows it."""
    return {"name": pool.name, **_shown(pool.document), **_life(pool.deleted_at)}


def provider_to_json(pool: Pool, provider: Provider) -> Body:
    """Return a provider as the API shows it."""
    return {
        "name": f"{pool.name}/providers/{provider.id}",
        **_shown(provider.document),
        **_life(provider.deleted_at),
    }


def _guard_answer(layer: str, problems: Mapping[str, ApiError]) -> LayerAnswer:
    if layer in problems:
        return LayerAnswer(layer, Effect.DENY, f"{layer}-refused", detail=problems[layer].message)
    return LayerAnswer(layer, Effect.ALLOW, "passed")


def _combine_guard(layers: tuple[LayerAnswer, ...]) -> tuple[Outcome, str]:
    refusing = next((layer for layer in layers if layer.refuses), None)
    return (Outcome.DENY, refusing.reason) if refusing else (Outcome.ALLOW, "well-formed")


def _life(deleted_at: float | None) -> Body:
    if deleted_at is None:
        return {"state": "ACTIVE"}
    return {"state": "DELETED", "expireTime": timestamp(deleted_at + SOFT_DELETE_SECONDS)}


def _shown(document: Body) -> Body:
    return {name: value for name, value in document.items() if value not in (False, "", None, {})}


def _chosen(body: Body, fields: tuple[str, ...]) -> Body:
    """Keep the settable members; others that the API knows are output only, the rest unknown."""
    unknown = body.keys() - set(fields) - {"name", "state", "expireTime", "mode", "aws", "saml"}
    if unknown:
        raise unknown_member(min(unknown))
    if body.get("mode") not in (None, "MODE_UNSPECIFIED", "FEDERATION_ONLY"):
        raise ApiError("UNIMPLEMENTED", "Only pools of mode FEDERATION_ONLY are served here.")
    kept = (*fields, "aws", "saml") if "oidc" in fields else fields
    return {name: body[name] for name in kept if name in body}


def _patched(document: Body, call: Call, fields: tuple[str, ...]) -> Body:
    """Return the document with what the update mask names taken from the body."""
    body = _chosen(call.json(), fields)
    mask = call.update_mask() or tuple(body)
    patched: dict[str, Any] = {**document}
    for name in mask:
        top, _, rest = name.partition(".")
        if top not in fields:
            raise invalid_argument(f"Invalid update mask: {name}.")
        value = body.get(top)
        if rest:
            inner = {k: v for k, v in message(patched, top).items() if k != rest}
            given = message(body, top).get(rest)
            patched[top] = {**inner, **({rest: given} if given is not None else {})}
        elif value is None:
            patched.pop(top, None)
        else:
            patched[top] = value
    return patched


def _must_live(deleted_at: float | None) -> None:
    if deleted_at is not None:
        raise ApiError("FAILED_PRECONDITION", "The entity is deleted; undelete it first.")


def _must_be_deleted(deleted_at: float | None) -> None:
    if deleted_at is None:
        raise ApiError("FAILED_PRECONDITION", "The entity is not deleted.")
