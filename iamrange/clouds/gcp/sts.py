"""Security Token Service: RFC 8693 token exchange for workload identity federation.

- The layers are the gates of one exchange, in the order in which their refusals win. All that can
  be answered is answered, with claims that are then unverified, so that a record shows what stood
  behind what and a rogue that skips one gate really lets a token through.
- Error codes and texts follow what the service was seen to answer (oracle/wif-rules.md 1.3).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from iamrange.clouds.gcp.cel import Failed
from iamrange.clouds.gcp.errors import OAuthError
from iamrange.clouds.gcp.form import Form, read_form
from iamrange.clouds.gcp.mapping import NO_VALUE, Mapped, apply_mapping, condition_holds
from iamrange.clouds.gcp.principals import Caller
from iamrange.clouds.gcp.provider_keys import provider_keys
from iamrange.clouds.gcp.state import AccessToken, Pool, Provider
from iamrange.clouds.gcp.wire import Body, Call, Route, service_routes
from iamrange.core.decision import Effect, LayerAnswer, Outcome, Statement
from iamrange.jose import GCP, KeySet, Refusal, check_time, parse, peek, verify_signature
from iamrange.jose.gate import UnverifiedToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.fetch import Fetcher
    from iamrange.clouds.gcp.access import Access

POINT: Final = "gcp.sts"
HOST: Final = "sts.googleapis.com"
GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name
SUBJECT_TYPES: Final = frozenset(
    {"urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"}
)
MAX_LIFETIME: Final = 3600

_PROVIDER: Final = re.compile(
    r"//iam\.googleapis\.com/projects/(?P<project>[^/]+)/locations/global/workloadIdentityPools/"
    r"(?P<pool>[^/]+)/providers/(?P<provider>[^/]+)"
)
_WORKFORCE: Final = re.compile(r"//iam\.googleapis\.com/locations/[^/]+/workforcePools/.*")
_NOT_REACHED: Final = "not-reached"
_INVALID: Final = "The subject token is invalid."
_CODES: Final = {
    "request": "invalid_request",
    "provider": "invalid_target",
    "mapping": "invalid_request",
    "attribute-condition": "unauthorized_client",
}
_AUDIENCE_ERROR: Final = (
    'Invalid value for "audience". This value should be the full resource name of the Identity '
    "Provider. See https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the "
    "list of possible formats."
)
_TARGET_ERROR: Final = (
    'The target service indicated by the "audience" parameters is invalid. This might either be '
    "because the pool or provider is disabled or deleted or because it doesn't exist."
)


@dataclass(slots=True)
class _Exchange:
    """What is known so far of one exchange."""

    layers: list[LayerAnswer] = field(default_factory=list)
    pool: Pool | None = None
    provider: Provider | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    mapped: Mapped = field(default_factory=Mapped)

    def add(self, layer: str, refusal: Refusal | None, statement: Statement | None = None) -> None:
        if refusal is None:
            self.layers.append(LayerAnswer(layer, Effect.ALLOW, "passed", decided_by=statement))
        else:
            self.layers.append(
                LayerAnswer(
                    layer, Effect.DENY, refusal.code, decided_by=statement, detail=refusal.detail
                )
            )

    def skip(self, *layers: str) -> None:
        for layer in layers:
            self.layers.append(LayerAnswer(layer, Effect.NOT_APPLICABLE, _NOT_REACHED))


class TokenExchange:
    """The service's one method."""

    def __init__(self, access: Access, fetcher: Fetcher) -> None:
        """Take the shared access and the fetcher for issuers' keys."""
        self._access = access
        self._fetcher = fetcher

    def routes(self) -> tuple[Route, ...]:
        """Return the service's routes; the exchange itself needs no credentials."""
        return service_routes(
            HOST,
            [("POST", "/v1/token", self.exchange), ("POST", "/v1beta/token", self.exchange)],
            public=True,
        )

    async def exchange(self, call: Call) -> Body:
        """Exchange a subject token for a federated access token.

        Raises:
            OAuthError: the exchange is refused.
        """
        read = _form(call)
        form = read.values
        exchange = _Exchange()
        exchange.add("request", read.problem or _request_problem(form))
        self._find_provider(exchange, form.get("audience", ""))
        if exchange.provider is None:
            exchange.skip(
                "token", "issuer", "audience", "keys", "signature", "time", "mapping",
                "attribute-condition",
            )  # fmt: skip
        else:
            await self._judge(exchange, exchange.provider, form.get("subject_token", ""))
        if exchange.pool is not None and exchange.mapped.subject:
            call.caller = Caller(
                "federated",
                organization=exchange.pool.project.organization_id,
                federated=exchange.mapped.federated(exchange.pool.name),
            )
        outcome, layers = self._access.decide(
            call,
            POINT,
            "sts.token",
            form.get("audience", "")[:512],
            tuple(exchange.layers),
            combine,
            {"issuer": str(exchange.claims.get("iss", ""))[:512]},
        )
        if outcome is Outcome.DENY:
            raise _refused(layers)
        return self._grant(call, exchange, form)

    def _find_provider(self, exchange: _Exchange, audience: str) -> None:
        match = _PROVIDER.fullmatch(audience)
        if match is None:
            exchange.skip("provider")
            return
        # by number only: an id is not resolved here (google-github-actions/auth#202)
        pool = self._access.state.pools.get((match["project"], match["pool"]))
        provider = pool.providers.get(match["provider"]) if pool else None
        exchange.pool, exchange.provider = pool, provider
        exchange.add("provider", _provider_problem(pool, provider))

    async def _judge(self, exchange: _Exchange, provider: Provider, text: str) -> None:
        token = parse(text, GCP)
        exchange.add("token", token if isinstance(token, Refusal) else None)
        unverified = token if isinstance(token, UnverifiedToken) else peek(text)
        if unverified is None:
            exchange.skip(
                "issuer", "audience", "keys", "signature", "time", "mapping", "attribute-condition"
            )
            return
        claims = exchange.claims = unverified.unverified_claims
        exchange.add("issuer", _issuer_problem(claims, provider))
        exchange.add("audience", _audience_problem(claims, exchange.pool, provider))
        keys = await provider_keys(provider.document["oidc"], self._fetcher)
        if isinstance(keys, KeySet):
            verified = verify_signature(unverified, keys, GCP)
            unknown = isinstance(verified, Refusal) and verified.code == "unknown-key"
            exchange.add("keys", verified if unknown and isinstance(verified, Refusal) else None)
            exchange.add("signature", verified if isinstance(verified, Refusal) else None)
        else:
            exchange.add("keys", keys)
            exchange.add("signature", Refusal("no-key"))
        exchange.add("time", _time_problem(claims, self._access.clock.now()))
        exchange.mapped = apply_mapping(provider.mapping, claims)
        exchange.add("mapping", exchange.mapped.refusal)
        self._judge_condition(exchange, provider)

    def _judge_condition(self, exchange: _Exchange, provider: Provider) -> None:
        if provider.condition is None:
            exchange.layers.append(
                LayerAnswer("attribute-condition", Effect.NOT_APPLICABLE, "no-condition")
            )
            return
        keys = provider.condition.members_read()
        pool = exchange.pool
        name = f"{pool.name if pool else ''}/providers/{provider.id}"
        holds = condition_holds(provider.condition, exchange.claims, exchange.mapped)
        if holds is True:
            exchange.add("attribute-condition", None, Statement(name, "attributeCondition"))
            return
        code = "condition-error" if isinstance(holds, Failed) else "condition-not-met"
        exchange.add(
            "attribute-condition", Refusal(code), Statement(name, "attributeCondition", keys)
        )

    def _grant(self, call: Call, exchange: _Exchange, form: Mapping[str, str]) -> Body:
        now = self._access.clock.now()
        lifetime = _lifetime(exchange.claims.get("exp"), now)
        if call.caller.federated is None:
            # only a rogue that ignores a gate comes here with nobody to grant anything to
            lifetime = 0
        token = AccessToken(
            call.caller, now + lifetime, "federated", tuple(form.get("scope", "").split())
        )
        return {
            "access_token": self._access.state.issue_token(token),
            "issued_token_type": ACCESS_TOKEN_TYPE,
            "token_type": "Bearer",
            "expires_in": int(lifetime),
        }


def _lifetime(expires: object, now: float) -> float:
    """Return how long a grant lives: an hour, and not past the end of the subject token."""
    if not isinstance(expires, int | float) or expires <= now:
        # only a rogue that does not look at the time comes here
        return MAX_LIFETIME
    return min(MAX_LIFETIME, expires - now)


def combine(layers: tuple[LayerAnswer, ...]) -> tuple[Outcome, str]:
    """Return the outcome: the first layer that refuses wins, and an unread token is refused."""
    for layer in layers:
        if layer.refuses:
            return Outcome.DENY, layer.reason
    if any(layer.reason == _NOT_REACHED and layer.layer == "provider" for layer in layers):
        return Outcome.DENY, _NOT_REACHED
    return Outcome.ALLOW, "exchanged"


def _form(call: Call) -> Form:
    """Read the request; the API takes a form, or JSON with lowerCamelCase names."""
    if call.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        snake = {re.sub(r"([A-Z])", r"_\1", k).lower(): v for k, v in call.json().items()}
        return Form({k: v for k, v in snake.items() if isinstance(v, str)})
    return read_form(call.body)


def _request_problem(form: Mapping[str, str]) -> Refusal | None:
    if form.get("grant_type") != GRANT_TYPE:
        return Refusal("unsupported-grant-type", 'Invalid value for "grant_type".')
    if form.get("requested_token_type") != ACCESS_TOKEN_TYPE:
        return Refusal("invalid-requested-token-type", 'Invalid value for "requested_token_type".')
    if not form.get("subject_token"):
        return Refusal("missing-subject-token", 'Missing value for "subject_token".')
    if form.get("subject_token_type") not in SUBJECT_TYPES:
        return Refusal("invalid-subject-token-type", 'Invalid value for "subject_token_type".')
    audience = form.get("audience", "")
    if _WORKFORCE.fullmatch(audience):
        return Refusal("workforce-not-served", "Workforce identity pools are not served here.")
    if not _PROVIDER.fullmatch(audience):
        return Refusal("invalid-audience", _AUDIENCE_ERROR)
    if not form.get("scope", "").strip():
        return Refusal("missing-scope", 'Missing value for "scope".')
    if "options" in form:
        return _options_problem(form["options"])
    return None


def _options_problem(text: str) -> Refusal | None:
    try:
        options = json.loads(unquote(text))
    except ValueError:
        options = None
    if not isinstance(options, dict):
        return Refusal("invalid-options", 'Invalid value for "options".')
    if "userProject" in options:
        return Refusal(
            "workforce-not-served",
            '"options.userProject" is for workforce identity pools, which are not served here.',
        )
    if options:
        names = ", ".join(sorted(str(name) for name in options))[:200]
        return Refusal("options-not-served", f'"options" members are not served here: {names}.')
    return None


def _provider_problem(pool: Pool | None, provider: Provider | None) -> Refusal | None:
    if pool is None or provider is None:
        return Refusal("no-provider", _TARGET_ERROR)
    if pool.deleted_at is not None or provider.deleted_at is not None:
        return Refusal("provider-deleted", _TARGET_ERROR)
    if pool.document.get("disabled") or provider.disabled:
        return Refusal("provider-disabled", _TARGET_ERROR)
    return None


def _issuer_problem(claims: Mapping[str, Any], provider: Provider) -> Refusal | None:
    issuer = claims.get("iss")
    if issuer == provider.issuer:
        return None
    shown = "null" if issuer is None else str(issuer)[:512]
    return Refusal(
        "issuer-mismatch",
        f"The issuer in ID Token {shown} does not match the expected ones: {provider.issuer}",
    )


def _audience_problem(
    claims: Mapping[str, Any], pool: Pool | None, provider: Provider
) -> Refusal | None:
    """Compare with the allowed audiences, or with the provider's own name, exactly."""
    given = claims.get("aud", [])
    audiences = given if isinstance(given, list) else [given]
    allowed = provider.document["oidc"].get("allowedAudiences") or []
    if not allowed and pool is not None:
        name = f"//iam.googleapis.com/{pool.name}/providers/{provider.id}"
        allowed = [f"https:{name}", name]
    if any(audience in allowed for audience in audiences):
        return None
    shown = ", ".join(str(audience) for audience in audiences)[:512]
    return Refusal(
        "audience-mismatch",
        f"The audience in ID Token [{shown}] does not match the expected audience {allowed[0]}.",
    )


def _time_problem(claims: Mapping[str, Any], now: float) -> Refusal | None:
    problem = check_time(claims, now, GCP)
    if problem is not None and problem.code == "malformed":
        return Refusal(problem.code, _INVALID)
    issued, expires = claims.get("iat"), claims.get("exp")
    if issued is None or expires is None:
        problem = Refusal("missing-claim")
    elif problem is None and expires <= now:
        # a token that ends in this very second would leave nothing to grant (RFC 7519 4.1.4)
        problem = Refusal("expired")
    if problem is None:
        return None
    if problem.code in ("expired", "missing-claim"):
        shown = "null" if issued is None else issued
        return Refusal(problem.code, f"ID Token issued at {shown} is stale to sign-in.")
    if problem.code == "not-yet-valid":
        return Refusal(problem.code, f"ID Token issued at {issued} is not yet valid.")
    return Refusal(problem.code, "The lifetime of the ID Token exceeds 24 hours.")


def _refused(layers: tuple[LayerAnswer, ...]) -> OAuthError:
    refusing = next((layer for layer in layers if layer.refuses), None)
    if refusing is None:
        return OAuthError("invalid_request", _AUDIENCE_ERROR)
    code = _CODES.get(refusing.layer, "invalid_grant")
    if refusing.reason == "unsupported-grant-type":
        code = "unsupported_grant_type"
    if refusing.reason == NO_VALUE:
        code = "unauthorized_client"
    return OAuthError(code, _DESCRIPTIONS.get(refusing.layer) or refusing.detail or _INVALID)


_DESCRIPTIONS: Final = {
    "token": "Invalid ID Token: it is not a JWT that this service accepts.",
    # an unknown `kid` reads the same as an issuer that does not answer
    "keys": "Error connecting to the given credential's issuer.",
    "signature": "Unable to verify the ID Token signature.",
    "attribute-condition": "The given credential is rejected by the attribute condition.",
}
