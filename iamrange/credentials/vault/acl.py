"""What a token with some policies may do at a path, as OpenBao decides it. Pure.

- Rules of one pattern add up over the policies; a denial among them is all that is left.
- One rule decides: that of the exact path, else the best of the patterns that match. Better is: the
  first `*` or `+` comes later; no `*` at the end; fewer `+`; longer; later in the alphabet.
- A list of `a/b/` is decided by what names `a/b` where no pattern names `a/b/`. Other releases, and
  HashiCorp Vault's, choose otherwise there; the rest is the same.
Source: https://openbao.org/docs/concepts/policies/#priority-matching; held against the real
server's `sys/capabilities-self` by the tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from iamrange.credentials.vault.policy import DENY, has_segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iamrange.credentials.vault.policy import Policy, Rule

ROOT: Final = "root"
"""The policy that lets everything be done."""
LISTING: Final = frozenset({"list", "scan"})


@dataclass(frozen=True, slots=True)
class Decided:
    """The pattern that decides at a path, what may be done, and the rules that say so by policy."""

    pattern: str
    capabilities: frozenset[str]
    rules: Mapping[str, Rule] = field(default_factory=dict)


class Acl:
    """The policies of one token, at a moment."""

    def __init__(self, policies: Iterable[Policy], now: float = 0.0) -> None:
        """Merge the policies. Rules that have ended, or name who asks, count for nothing."""
        policies = tuple(policies)
        self.root = any(policy.name == ROOT for policy in policies)
        rules: dict[str, dict[str, Rule]] = {}
        merged: dict[str, frozenset[str]] = {}
        for policy in policies:
            for rule in policy.rules:
                if rule.expired(now) or rule.templated:
                    continue
                rules.setdefault(rule.pattern, {})[policy.name] = rule
                both = merged.get(rule.pattern, frozenset()) | rule.capabilities
                merged[rule.pattern] = frozenset({DENY}) if DENY in both else both
        self._decided = {
            pattern: Decided(pattern, held, rules[pattern]) for pattern, held in merged.items()
        }
        self._open = [p for p in merged if p.endswith("*") or has_segments(p)]

    def decide(self, path: str, capability: str = "") -> Decided | None:
        """Return what decides at a path; None: nothing does, so nothing may be done there."""
        exact = self._exact(path)
        if exact is None and capability in LISTING:
            exact = self._exact(path.removesuffix("/"))
        if exact is not None:
            return exact
        found = self._best(path)
        if found is None and capability == "list":
            found = self._best(path.removesuffix("/"))
        return found

    def _best(self, path: str) -> Decided | None:
        matching = [pattern for pattern in self._open if matches(pattern, path)]
        return self._decided[max(matching, key=_rank)] if matching else None

    def _exact(self, path: str) -> Decided | None:
        return self._decided.get(path) if path not in self._open else None

    def allows(self, path: str, capability: str) -> bool:
        """Tell whether something may be done at a path."""
        if self.root:
            return True
        found = self.decide(path, capability)
        return found is not None and capability in found.capabilities

    def capabilities(self, path: str) -> frozenset[str]:
        """Return what may be done at a path, as `sys/capabilities` answers it."""
        if self.root:
            return frozenset({ROOT})
        found = self.decide(path, "list")
        return (found.capabilities if found is not None else frozenset()) or frozenset({DENY})


def matches(pattern: str, path: str) -> bool:
    """Tell whether a pattern with `*` or `+` names a path."""
    ends = pattern.endswith("*")
    text = pattern.removesuffix("*") if ends else pattern
    if not has_segments(pattern):
        return path.startswith(text) if ends else path == text
    wanted, parts = text.split("/"), path.split("/")
    if len(parts) < len(wanted) or (len(parts) != len(wanted) and not ends):
        return False
    last = len(wanted) - 1
    return all(
        want in ("+", part) or (ends and number == last and part.startswith(want))
        for number, (want, part) in enumerate(zip(wanted, parts, strict=False))
    )


def _rank(pattern: str) -> tuple[int, bool, int, int, str]:
    ends = pattern.endswith("*")
    text = pattern.removesuffix("*") if ends else pattern
    segments = has_segments(pattern)
    first = text.find("+") if segments else len(text)
    pluses = text.split("/").count("+") if segments else 0
    return first, not ends, -pluses, len(text), text
