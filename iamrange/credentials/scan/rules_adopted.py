"""Detectors of detect-secrets (Yelp, Apache-2.0) that this scanner runs, in process.

- Each is given the line around a keyword of its format, cut to what is near. Its patterns are run
  by us: detect-secrets's own loop yields a pattern's groups, for GitHub's tokens `ghp` alone.
- Left out: those that our own rules read more exactly (AWS, JWT, private keys, URLs), those that
  find any random text (the entropy and keyword detectors), npm's, which takes the rest of a line
  with it, and addresses, which are no secrets.
- None is asked to verify: theirs would ask the vendor over the internet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from iamrange.credentials.scan.rules_types import Flavour, Hit, SecretRule, random_looking

if TYPE_CHECKING:
    from collections.abc import Callable

    from detect_secrets.plugins.base import RegexBasedDetector

_BEFORE, _AFTER = 120, 600
_LEAST_ENTROPY = 2.8
_EXPRESSION = re.compile(r"[{}()<>$]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adopted:
    detector: type[RegexBasedDetector]
    id: str
    keywords: tuple[str, ...]
    hint: int = 0


_TABLE: Final = (
    _Adopted(
        detector=GitHubTokenDetector,
        id="github-token",
        hint=4,
        keywords=("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    ),
    _Adopted(
        detector=GitLabTokenDetector,
        id="gitlab-token",
        hint=4,
        keywords=(
            "glpat-",
            "gldt-",
            "glft-",
            "glsoat-",
            "glrt-",
            "gr1348941",
            "glcbt-",
            "glimt-",
            "glptt-",
            "glagent-",
            "gloas-",
        ),
    ),
    _Adopted(
        detector=SlackDetector,
        id="slack-token",
        hint=4,
        keywords=("xox", "hooks.slack.com/"),
    ),
    _Adopted(detector=OpenAIDetector, id="openai-api-key", keywords=("t3blbkfj",)),
    _Adopted(detector=PypiTokenDetector, id="pypi-token", hint=4, keywords=("pypi-ag",)),
    _Adopted(detector=StripeDetector, id="stripe-key", hint=4, keywords=("sk_live_", "rk_live_")),
    _Adopted(detector=SendGridDetector, id="sendgrid-key", keywords=("sg.",)),
    _Adopted(detector=SquareOAuthDetector, id="square-oauth-secret", hint=4, keywords=("sq0csp-",)),
    _Adopted(detector=AzureStorageKeyDetector, id="azure-storage-key", keywords=("accountkey=",)),
    _Adopted(detector=MailchimpDetector, id="mailchimp-key", keywords=("-us",)),
    _Adopted(detector=DiscordBotTokenDetector, id="discord-bot-token", keywords=("discord",)),
    _Adopted(detector=TelegramBotTokenDetector, id="telegram-bot-token", keywords=("telegram",)),
    _Adopted(detector=TwilioKeyDetector, id="twilio-key", keywords=("twilio",)),
    _Adopted(detector=ArtifactoryDetector, id="artifactory-key", keywords=("artifactory", "jfrog")),
)


def _finder(detector: RegexBasedDetector) -> Callable[[str, int, Flavour], Hit | None]:
    def find(text: str, at: int, _flavour: Flavour) -> Hit | None:
        began = max(text.rfind("\n", max(0, at - _BEFORE), at) + 1, at - _BEFORE, 0)
        ended = text.find("\n", at, at + _AFTER)
        line = text[began : ended if ended >= 0 else at + _AFTER]
        for pattern in detector.denylist:
            match = pattern.search(line)
            if match is None or _EXPRESSION.search(match[0]):
                continue
            if random_looking(match[0], _LEAST_ENTROPY):
                start, end = match.span()
                return Hit(began + start, began + end)
        return None

    return find


ADOPTED: Final = tuple(
    SecretRule(
        id=row.id,
        summary=f"{row.detector.secret_type}.",
        keywords=row.keywords,
        find=_finder(row.detector()),
        source=f"detect-secrets {row.detector.__name__}",
        hint=row.hint,
        reach=_BEFORE + _AFTER,
    )
    for row in _TABLE
)
