"""The vault as a certificate authority for agents: its key is made there, and stays."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_vault as vault

from infra import names, vault_documents

_ROOT_LIFE = 30 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateAuthorityArgs:
    """The trust domain of the SPIFFE ids that it certifies."""

    trust_domain: str


class CertificateAuthority(pulumi.ComponentResource):
    """A root of one trust domain, and short revocation lists."""

    path: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        args: CertificateAuthorityArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the authority."""
        super().__init__("iamrange:vault:CertificateAuthority", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        mount = vault.Mount(
            f"{name}-certificates",
            path=names.VAULT_CERTIFICATES,
            type="pki",
            description="Certificates of agents.",
            default_lease_ttl_seconds=vault_documents.CERTIFICATE_SECONDS,
            max_lease_ttl_seconds=_ROOT_LIFE,
            opts=child,
        )
        lists = vault.pkisecret.SecretBackendCrlConfig(
            name,
            backend=mount.path,
            expiry=f"{vault_documents.LIST_SECONDS}s",
            # else each withdrawal makes a list, and an agent with a thousand certificates keeps
            # whoever cuts it off waiting; who withdraws has one made when all is done
            auto_rebuild=True,
            auto_rebuild_grace_period=f"{vault_documents.LIST_SECONDS // 2}s",
            opts=child,
        )
        root = vault.pkisecret.SecretBackendRootCert(
            name,
            # the first list is made with the root, and is to be a short one too
            backend=lists.backend,
            type="internal",
            issuer_name=names.VAULT_ISSUER,
            common_name=f"{args.trust_domain} agents",
            organization="iamrange",
            # the trust domain itself, without a path (X509-SVID section 3.2)
            uri_sans=[f"spiffe://{args.trust_domain}"],
            exclude_cn_from_sans=True,
            key_type="ec",
            key_bits=256,
            max_path_length=0,
            ttl=f"{_ROOT_LIFE}s",
            opts=child,
        )
        self.path = root.backend
        self.register_outputs({"path": self.path})


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCertificateArgs:
    """One agent. `authority` is an output, so that roles wait for the root."""

    agent: str
    trust_domain: str
    authority: pulumi.Input[str]


class AgentCertificate(pulumi.ComponentResource):
    """What is certified for an agent: a P-256 key of its own, by its SPIFFE id and nothing else.

    Names are the request's, and this one is all that it may ask for; what the signing request
    itself asks for is not looked at.
    """

    def __init__(
        self, name: str, args: AgentCertificateArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the role."""
        super().__init__("iamrange:vault:AgentCertificate", name, None, opts)
        vault.pkisecret.SecretBackendRole(
            name,
            backend=args.authority,
            name=args.agent,
            allowed_uri_sans=[names.spiffe_id(args.trust_domain, args.agent)],
            allow_ip_sans=False,
            allow_localhost=False,
            require_cn=False,
            use_csr_common_name=False,
            use_csr_sans=False,
            organizations=["iamrange"],
            key_type="ec",
            key_bits=256,
            key_usages=["DigitalSignature"],
            client_flag=True,
            server_flag=True,
            basic_constraints_valid_for_non_ca=True,
            not_before_duration="10s",
            ttl=f"{vault_documents.CERTIFICATE_SECONDS}s",
            max_ttl=f"{vault_documents.CERTIFICATE_SECONDS}s",
            # what is withdrawn has to be found
            no_store=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
