"""Tokens that say by their first characters whose they are: what agents and their tools hold. Pure.

One row a format. A row is a prefix that nothing else has, and what stands behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iamrange.credentials.scan.rules_types import SecretRule, by_pattern, entropy

if TYPE_CHECKING:
    import re

_LEAST_ENTROPY: Final = 2.8
_HEX: Final = "[0-9a-f]"
_WORD: Final = "[A-Za-z0-9]"
_URL: Final = "[A-Za-z0-9_-]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A format: `prefix` as it is written, `rest` a pattern; the prefix has `hint` characters."""

    id: str
    whose: str
    prefix: str
    rest: str
    source: str


VENDORS: Final = (
    Vendor(
        id="openrouter-key",
        whose="An OpenRouter API key",
        prefix="sk-or-v1-",
        rest=_HEX + "{64}",
        source="https://openrouter.ai/docs/api-reference/authentication",
    ),
    Vendor(
        id="groq-key",
        whose="A Groq API key",
        prefix="gsk_",
        rest=_WORD + "{52}",
        source="https://console.groq.com/docs/quickstart",
    ),
    Vendor(
        id="xai-key",
        whose="An xAI API key",
        prefix="xai-",
        rest=_WORD + "{70,84}",
        source="https://docs.x.ai/docs/overview",
    ),
    Vendor(
        id="perplexity-key",
        whose="A Perplexity API key",
        prefix="pplx-",
        rest=_WORD + "{48,56}",
        source="https://docs.perplexity.ai/",
    ),
    Vendor(
        id="replicate-token",
        whose="A Replicate API token",
        prefix="r8_",
        rest=_WORD + "{37}",
        source="https://replicate.com/docs/topics/security/api-tokens",
    ),
    Vendor(
        id="langsmith-key",
        whose="A LangSmith API key",
        prefix="lsv2_",
        rest="(?:pt|sk)_" + _HEX + "{32}_" + _HEX + "{10}",
        source="https://docs.smith.langchain.com/",
    ),
    Vendor(
        id="tavily-key",
        whose="A Tavily API key",
        prefix="tvly-",
        rest="(?:dev-|prod-)?" + _WORD + "{32}",
        source="https://docs.tavily.com/",
    ),
    Vendor(
        id="pinecone-key",
        whose="A Pinecone API key",
        prefix="pcsk_",
        rest=_WORD + "{5,7}_" + _WORD + "{50,70}",
        source="https://docs.pinecone.io/guides/projects/manage-api-keys",
    ),
    Vendor(
        id="notion-token",
        whose="A Notion integration token",
        prefix="ntn_",
        rest=_WORD + "{43,50}",
        source="https://developers.notion.com/docs/authorization",
    ),
    Vendor(
        id="linear-key",
        whose="A Linear API key",
        prefix="lin_api_",
        rest=_WORD + "{40}",
        source="https://linear.app/developers/graphql",
    ),
    Vendor(
        id="figma-token",
        whose="A Figma personal access token",
        prefix="figd_",
        rest=_URL + "{38,44}",
        source="https://www.figma.com/developers/api#access-tokens",
    ),
    Vendor(
        id="digitalocean-token",
        whose="A DigitalOcean token",
        prefix="dop_v1_",
        rest=_HEX + "{64}",
        source="https://docs.digitalocean.com/reference/api/create-personal-access-token/",
    ),
    Vendor(
        id="pulumi-token",
        whose="A Pulumi access token",
        prefix="pul-",
        rest=_HEX + "{40}",
        source="https://www.pulumi.com/docs/pulumi-cloud/access-management/access-tokens/",
    ),
    Vendor(
        id="docker-token",
        whose="A Docker access token",
        prefix="dckr_",
        rest="[op]at_" + _URL + "{27}",
        source="https://docs.docker.com/security/access-tokens/",
    ),
    Vendor(
        id="databricks-token",
        whose="A Databricks personal access token",
        prefix="dapi",
        rest=_HEX + "{32}(?:-\\d)?",
        source="https://docs.databricks.com/dev-tools/auth/pat.html",
    ),
    Vendor(
        id="grafana-token",
        whose="A Grafana service-account token",
        prefix="glsa_",
        rest=_WORD + "{32}_[0-9A-Fa-f]{8}",
        source="https://grafana.com/docs/grafana/latest/administration/service-accounts/",
    ),
    Vendor(
        id="shopify-token",
        whose="A Shopify access token",
        prefix="shp",
        rest="(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}",
        source="https://shopify.dev/docs/apps/build/authentication-authorization",
    ),
    Vendor(
        id="atlassian-token",
        whose="An Atlassian API token",
        prefix="ATATT3",
        rest="[A-Za-z0-9_=-]{60,300}",
        source="https://support.atlassian.com/atlassian-account/docs/manage-api-tokens",
    ),
    Vendor(
        id="supabase-token",
        whose="A Supabase access token",
        prefix="sbp_",
        rest=_HEX + "{40}",
        source="https://supabase.com/docs/reference/api/introduction",
    ),
    Vendor(
        id="postman-key",
        whose="A Postman API key",
        prefix="PMAK-",
        rest=_HEX + "{24}-" + _HEX + "{34}",
        source="https://learning.postman.com/docs/developer/postman-api/authentication/",
    ),
    Vendor(
        id="slack-app-token",
        whose="A Slack app-level token",
        prefix="xapp-",
        rest="\\d-[A-Z0-9]{8,14}-\\d{10,16}-[0-9a-f]{40,80}",
        source="https://docs.slack.dev/authentication/tokens",
    ),
    Vendor(
        id="age-key",
        whose="A private key of age, as SOPS uses it",
        prefix="AGE-SECRET-KEY-1",
        rest="[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        source="https://github.com/C2SP/C2SP/blob/main/age.md",
    ),
)


def _random(match: re.Match[str]) -> bool:
    return entropy(match["secret"]) >= _LEAST_ENTROPY


def _rule(row: Vendor) -> SecretRule:
    return SecretRule(
        id=row.id,
        summary=f"{row.whose}.",
        keywords=(row.prefix.lower(),),
        find=by_pattern(
            rf"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))(?P<secret>{row.prefix}{row.rest})"
            r"(?![A-Za-z0-9_])",
            accepts=_random,
        ),
        source=row.source,
        hint=min(4, len(row.prefix)),
    )


BY_PREFIX: Final = tuple(_rule(row) for row in VENDORS)
