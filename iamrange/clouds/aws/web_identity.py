"""The gates of a web identity token, before any trust policy is asked.

- Order: form and required claims, provider by `iss`, keys, signature, audience, time. The first
  gate that refuses gives the answer, but every gate that can be asked is asked, so that the record
  tells a single point of failure from defence in depth.
- An honest cloud goes on with verified claims only. When a rogue let a refused token pass, the
  claims are taken as they stand: that is what such a rogue means.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.aws.model import AwsError, AwsRequest, IamStore, OidcProviderRecord
from iamrange.clouds.aws.web_identity_claims import BUILT_IN, audiences
from iamrange.core.decision import Effect, LayerAnswer
from iamrange.jose import (
    AWS,
    KeySet,
    Refusal,
    UnverifiedToken,
    check_time,
    parse,
    peek,
    verify_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iamrange.clouds.aws.issuer_keys import IssuerKeys
    from iamrange.clouds.aws.judge import Judge

POINT: Final = "aws.web-identity"
ACTION: Final = "sts:AssumeRoleWithWebIdentity"
_TOKEN_REASONS: Final = ("malformed", "algorithm-not-allowed", "missing-claim")
_NO_KEY: Final = (
    "Couldn't retrieve verification key from your identity provider, please reference "
    "AssumeRoleWithWebIdentity documentation for requirements"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentity:
    """Who the token says its bearer is, as far as this cloud believes it.

    `provider` is the provider's ARN, or the host of a built-in one; `issuer` has no scheme and
    begins the condition keys.
    """

    provider: str
    issuer: str
    subject: str
    audience: str
    claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trusted:
    """The provider that an issuer has in an account; `record` is None for a built-in one."""

    name: str
    issuer: str
    record: OidcProviderRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentityGate:
    """Turns a token into a web identity, or refuses it."""

    store: IamStore
    issuers: IssuerKeys
    judge: Judge

    async def examine(
        self, request: AwsRequest, *, role_arn: str, account: str, trust: Mapping[str, Any]
    ) -> WebIdentity | AwsError:
        """Return the identity behind the request's token, for a role of this account.

        `trust` is the role's trust policy: an issuer that is built in and registered as well is
        the one that the policy names.
        """
        token: str = request.parameters["WebIdentityToken"]
        parsed = parse(token, AWS)
        readable = parsed if isinstance(parsed, UnverifiedToken) else peek(token)
        claims = readable.unverified_claims if readable else {}
        trusted = self._provider(account, claims.get("iss"), trust)
        layers = (
            _token_layer(parsed),
            _provider_layer(trusted, readable),
            *await self._key_layers(parsed, readable, trusted),
            _audience_layer(trusted, claims),
            _time_layer(parsed, claims, request.now),
        )
        refusal = self.judge.decide(
            POINT,
            request,
            layers,
            action=ACTION,
            resource=role_arn,
            principal=str(claims.get("sub", "")),
            account=account,
            facts=_facts(claims),
        )
        if refusal is not None:
            return _error(refusal, claims)
        return _identity(account, claims, trusted or _named_in(trust))

    def _provider(self, account: str, issuer: object, trust: Mapping[str, Any]) -> _Trusted | None:
        """Find the provider by the exact issuer: case and trailing slash make another one."""
        if not isinstance(issuer, str):
            return None
        record = self.store.oidc_provider(account, issuer) if _is_https(issuer) else None
        host = BUILT_IN.get(issuer)
        if record is not None and f"https://{record.url}" == issuer:
            registered = _Trusted(name=record.arn, issuer=record.url, record=record)
            if host is None or record.arn in str(trust):
                return registered
        return _Trusted(name=host, issuer=host, record=None) if host is not None else None

    async def _key_layers(
        self,
        parsed: UnverifiedToken | Refusal,
        readable: UnverifiedToken | None,
        trusted: _Trusted | None,
    ) -> tuple[LayerAnswer, LayerAnswer]:
        """Answer for keys and signature. Keys are fetched for trusted issuers only."""
        if readable is None or trusted is None:
            return _unasked("keys"), _unasked("signature")
        keys = await self.issuers.of(readable.unverified_claims["iss"], trusted.record)
        if isinstance(keys, Refusal):
            return _refused("keys", keys.code, keys.detail), _unasked("signature")
        return _signature_layers(parsed, readable, keys)


def _is_https(issuer: str) -> bool:
    return issuer.startswith("https://")


def _allowed(layer: str, reason: str) -> LayerAnswer:
    return LayerAnswer(layer, Effect.ALLOW, reason)


def _refused(layer: str, reason: str, detail: str = "") -> LayerAnswer:
    return LayerAnswer(layer, Effect.DENY, reason, detail=detail)


def _unasked(layer: str) -> LayerAnswer:
    """Answer for a gate that has nothing to look at, because of what an earlier one found."""
    return LayerAnswer(layer, Effect.NOT_APPLICABLE, "not-evaluated")


def _token_layer(parsed: UnverifiedToken | Refusal) -> LayerAnswer:
    if isinstance(parsed, UnverifiedToken):
        return _allowed("token", "well-formed")
    if parsed.code in _TOKEN_REASONS:
        return _refused("token", parsed.code, parsed.detail)
    return _refused("token", "malformed", f"{parsed.code}: {parsed.detail}")


def _provider_layer(trusted: _Trusted | None, readable: UnverifiedToken | None) -> LayerAnswer:
    if readable is None:
        return _unasked("provider")
    if trusted is None:
        return _refused("provider", "no-provider")
    return _allowed("provider", "registered" if trusted.record else "built-in")


def _signature_layers(
    parsed: UnverifiedToken | Refusal, readable: UnverifiedToken, keys: KeySet
) -> tuple[LayerAnswer, LayerAnswer]:
    verified = verify_signature(readable, keys, AWS)
    if not isinstance(verified, Refusal):
        return _allowed("keys", "key-found"), _allowed("signature", "verified")
    if verified.code == "unknown-key":
        return _refused("keys", "unknown-key", verified.detail), _unasked("signature")
    if verified.code == "algorithm-not-allowed" or (
        isinstance(parsed, Refusal) and not readable.signature
    ):
        # the token gate refuses it; a cloud without that gate has no way to check it
        return _allowed("keys", "fetched"), _unasked("signature")
    return _allowed("keys", "key-found"), _refused("signature", verified.code, verified.detail)


def _audience_layer(trusted: _Trusted | None, claims: Mapping[str, Any]) -> LayerAnswer:
    given = audiences(claims)
    if trusted is None or not given:
        return _unasked("audience")
    if trusted.record is None:
        return LayerAnswer("audience", Effect.NOT_APPLICABLE, "built-in")
    if not set(given) & set(trusted.record.client_ids):
        return _refused("audience", "client-id-not-registered")
    return _allowed("audience", "client-id-registered")


def _time_layer(
    parsed: UnverifiedToken | Refusal, claims: Mapping[str, Any], now: float
) -> LayerAnswer:
    dates = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    typed = all(isinstance(date, int) and not isinstance(date, bool) for date in dates)
    if not dates or (isinstance(parsed, Refusal) and not typed):
        return _unasked("time")
    late = check_time(claims, now, AWS)
    return _refused("time", late.code, late.detail) if late else _allowed("time", "in-time")


def _facts(claims: Mapping[str, Any]) -> dict[str, str]:
    """Return what a reader of the record may see of the token: names, never the token."""
    named = {name: claims.get(name) for name in ("iss", "sub", "jti", "azp")}
    facts = {name: value for name, value in named.items() if isinstance(value, str)}
    return facts | {"aud": ", ".join(audiences({"aud": claims.get("aud")}))}


def _named_in(trust: Mapping[str, Any]) -> _Trusted | None:
    """Return the provider that a trust policy names, as if it were the token's.

    Only a rogue that does not tell issuers apart comes here.
    """
    statements = trust.get("Statement", ())
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal")
        named = principal.get("Federated") if isinstance(principal, dict) else None
        if isinstance(named, str):
            return _Trusted(name=named, issuer=named.partition("oidc-provider/")[2], record=None)
    return None


def _meant(claims: Mapping[str, Any], trusted: _Trusted | None) -> tuple[str, ...]:
    """Return the audiences that are this provider's; all of them if none is, or none is known.

    What a token for several parties holds for others is no business of this account's policies.
    """
    given = audiences(claims)
    registered = trusted.record.client_ids if trusted and trusted.record else ()
    return tuple(one for one in given if one in registered) or given


def _identity(
    account: str, claims: Mapping[str, Any], trusted: _Trusted | None
) -> WebIdentity | AwsError:
    issuer, subject = claims.get("iss"), claims.get("sub")
    audience = _meant(claims, trusted)
    if not isinstance(issuer, str) or not isinstance(subject, str):
        # only a rogue comes here; there is nobody to make a session for
        return _invalid("The ID Token provided is not a valid JWT")
    host = issuer.removeprefix("https://")
    return WebIdentity(
        provider=trusted.name if trusted else f"arn:aws:iam::{account}:oidc-provider/{host}",
        issuer=trusted.issuer if trusted else host,
        subject=subject,
        audience=audience[0] if audience else "",
        claims=claims if "azp" in claims else {**claims, "aud": list(audience)},
    )


def _invalid(message: str) -> AwsError:
    return AwsError(code="InvalidIdentityToken", message=message, status=400)


def _error(refusal: LayerAnswer, claims: Mapping[str, Any]) -> AwsError:
    """Say a refusal as STS does."""
    messages = {
        "no-provider": f"No OpenIDConnect provider found in your account for {claims.get('iss')}",
        "unreachable": _NO_KEY,
        "unknown-key": _NO_KEY,
        "thumbprint-mismatch": "OpenIDConnect provider's HTTPS certificate doesn't match "
        "configured thumbprint",
        "signature-mismatch": "Invalid token signature",
        "client-id-not-registered": "Incorrect token audience",
        "missing-claim": f"Missing a required claim: {refusal.detail}",
        "algorithm-not-allowed": "The ID Token's signing algorithm is not supported",
        "not-yet-valid": "The ID Token is not valid yet",
    }
    if refusal.reason == "expired":
        message = (
            f"Token expired: current date/time {refusal.detail.rpartition(' ')[2]} must be before "
            f"the expiration date/time {claims.get('exp')}"
        )
        return AwsError(code="ExpiredTokenException", message=message, status=400)
    if refusal.reason == "too-old":
        message = f"Token too old: {refusal.detail}"
        return AwsError(code="ExpiredTokenException", message=message, status=400)
    otherwise = (
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an "
        "Access Token)"
    )
    return _invalid(messages.get(refusal.reason, otherwise))
