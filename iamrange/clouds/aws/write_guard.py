"""What IAM refuses to write: policy documents, trusts on shared issuers, identity providers.

- The embedded store takes nearly anything; everything that AWS would refuse is refused here.
- Documents are judged by the same parser that decides with them.
- A record is written only where a guard has something to say about the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iamrange.clouds.aws.constraints import violation
from iamrange.clouds.aws.documents import SIZE_LIMITS, load, policy_size
from iamrange.clouds.aws.model import AwsError, AwsRequest, Caller, IamStore
from iamrange.clouds.aws.named_principals import NamedPrincipals
from iamrange.clouds.aws.oidc_provider_rules import client_ids_fault, thumbprints_fault, url_fault
from iamrange.clouds.aws.policy import MalformedPolicy, PolicyKind, compile_policy
from iamrange.clouds.aws.shared_issuers import shared_issuer_fault
from iamrange.core.decision import Effect, LayerAnswer

if TYPE_CHECKING:
    from iamrange.clouds.aws.judge import Judge

POINT: Final = "aws.write-guard"

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_QUOTAS: Final[Mapping[str, str]] = {"trust": "ACLSizePerRole", "managed": "PolicySize"}


@dataclass(frozen=True, slots=True)
class _Finding:
    """One layer's answer, and the error that it stands for when it refuses."""

    answer: LayerAnswer
    error: AwsError | None = None


@dataclass(frozen=True, slots=True)
class _Document:
    """Where an operation carries a policy document, and of which kind it is."""

    parameter: str
    kind: PolicyKind
    quota: str


_DOCUMENTS: Final[Mapping[str, _Document]] = {
    "CreateRole": _Document("AssumeRolePolicyDocument", PolicyKind.TRUST, "trust"),
    "UpdateAssumeRolePolicy": _Document("PolicyDocument", PolicyKind.TRUST, "trust"),
    "CreatePolicy": _Document("PolicyDocument", PolicyKind.IDENTITY, "managed"),
    "CreatePolicyVersion": _Document("PolicyDocument", PolicyKind.IDENTITY, "managed"),
    "PutRolePolicy": _Document("PolicyDocument", PolicyKind.IDENTITY, "inline-role"),
    "PutUserPolicy": _Document("PolicyDocument", PolicyKind.IDENTITY, "inline-user"),
    "PutGroupPolicy": _Document("PolicyDocument", PolicyKind.IDENTITY, "inline-group"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteGuard:
    """Judges what is about to be written into IAM."""

    store: IamStore
    judge: Judge

    def check(self, request: AwsRequest, caller: Caller | None = None) -> AwsError | None:
        """Return what IAM answers to a write that it does not take, or None."""
        findings = tuple(self._findings(request))
        if not findings:
            return None
        refusal = self.judge.decide(
            POINT,
            request,
            tuple(finding.answer for finding in findings),
            action=f"iam:{request.operation}",
            resource=_named(request),
            principal=caller.principal.arn if caller else "",
            account=request.account,
        )
        if refusal is None:
            return None
        errors = {finding.answer.layer: finding.error for finding in findings}
        # a rogue may refuse where nothing was wrong
        otherwise = AwsError(code="InvalidInput", message=refusal.reason, status=400)
        return errors.get(refusal.layer) or otherwise

    def _findings(self, request: AwsRequest) -> Iterator[_Finding]:
        operation, asked = request.operation, request.parameters
        document = _DOCUMENTS.get(operation)
        rules = self._provider_rules().get(operation)
        if document is None and rules is None and operation != "UpdateRole":
            return
        yield _finding("limits", "parameter-out-of-bounds", violation(request))
        if document is not None:
            text = str(asked[document.parameter])
            yield from _document_findings(text, document)
            if document.kind is PolicyKind.TRUST:
                yield _finding("principals", "invalid-principal", self._principal_fault(text))
        if rules is not None:
            yield from rules(request)

    def _principal_fault(self, text: str) -> AwsError | None:
        """Judge whether whom a trust policy names is there; no document is the parser's to refuse.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_policies.html
        """
        try:
            load(text)
        except MalformedPolicy:
            return None
        nobody = NamedPrincipals(self.store).fault(text)
        return _malformed(f'Invalid principal in policy: "AWS":"{nobody}"') if nobody else None

    def _provider_rules(self) -> Mapping[str, Callable[[AwsRequest], Iterator[_Finding]]]:
        return {
            "CreateOpenIDConnectProvider": self._new_provider,
            "AddClientIDToOpenIDConnectProvider": self._new_client_id,
            "UpdateOpenIDConnectProviderThumbprint": _new_thumbprints,
        }

    def _new_provider(self, request: AwsRequest) -> Iterator[_Finding]:
        asked = request.parameters
        url: str = asked["Url"]
        yield _finding("provider-url", "invalid-url", url_fault(url))
        yield _finding(
            "client-ids", "too-many-client-ids", client_ids_fault(asked.get("ClientIDList", []))
        )
        yield from _new_thumbprints(request)
        taken = self.store.oidc_provider(request.account, url) is not None
        yield _finding("provider", "already-exists", _already_exists(url) if taken else None)

    def _new_client_id(self, request: AwsRequest) -> Iterator[_Finding]:
        url = str(request.parameters["OpenIDConnectProviderArn"]).partition(":oidc-provider/")[2]
        provider = self.store.oidc_provider(request.account, url)
        known = set(provider.client_ids) if provider else set()
        fault = client_ids_fault([*known, request.parameters["ClientID"]] if provider else [])
        # naming a client id again is no error and takes no room
        again = request.parameters["ClientID"] in known
        yield _finding("client-ids", "too-many-client-ids", None if again else fault)


def _new_thumbprints(request: AwsRequest) -> Iterator[_Finding]:
    fault = thumbprints_fault(request.parameters.get("ThumbprintList", []))
    yield _finding("thumbprints", "invalid-thumbprints", fault)


def _document_findings(text: str, document: _Document) -> Iterator[_Finding]:
    yield _finding("size", "document-too-large", _size_fault(text, document.quota))
    yield _finding("document", "malformed-policy", _document_fault(text, document.kind))
    if document.kind is PolicyKind.TRUST:
        yield _finding("shared-issuer", "shared-issuer-unscoped", _issuer_fault(text))


def _finding(layer: str, reason: str, error: AwsError | None) -> _Finding:
    if error is None:
        return _Finding(LayerAnswer(layer, Effect.ALLOW, "acceptable"))
    return _Finding(LayerAnswer(layer, Effect.DENY, reason, detail=error.message), error)


def _size_fault(text: str, quota: str) -> AwsError | None:
    limit = SIZE_LIMITS[quota]
    if policy_size(text) <= limit:
        return None
    message = f"Maximum policy size of {limit} bytes exceeded"
    if quota in _QUOTAS:
        message = f"Cannot exceed quota for {_QUOTAS[quota]}: {limit}"
    return AwsError(code="LimitExceeded", message=message, status=409)


def _document_fault(text: str, kind: PolicyKind) -> AwsError | None:
    try:
        compile_policy(text, kind=kind, name="new")
    except MalformedPolicy as fault:
        return _malformed(str(fault))
    return None


def _issuer_fault(text: str) -> AwsError | None:
    """Judge a trust policy's issuers; a text that is no document is the parser's to refuse."""
    try:
        value: Any = load(text)
    except MalformedPolicy:
        return None
    fault = shared_issuer_fault(value) if isinstance(value, Mapping) else None
    return _malformed(fault) if fault else None


def _malformed(message: str) -> AwsError:
    return AwsError(code="MalformedPolicyDocument", message=message, status=400)


def _already_exists(url: str) -> AwsError:
    message = f"Provider with url {url} already exists."
    return AwsError(code="EntityAlreadyExists", message=message, status=409)


def _named(request: AwsRequest) -> str:
    """Name what is written, for the record."""
    for parameter in ("RoleName", "PolicyName", "PolicyArn", "Url", "OpenIDConnectProviderArn"):
        if parameter in request.parameters:
            return str(request.parameters[parameter])
    return "*"
