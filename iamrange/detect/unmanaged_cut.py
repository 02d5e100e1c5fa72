"""How an unmanaged identity is cut off: what is to be done, and by whose hand. Pure.

- Who did not prove itself is not touched: otherwise whoever can write a name could have its bearer
  cut off.
- The hands are those of `cut_clouds` and `cut_vault`, which serve accused agents too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from iamrange.detect.cut import CutError
from iamrange.detect.unmanaged import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from iamrange.detect.cut import Hand
    from iamrange.detect.unmanaged import Unmanaged

_AT_VAULT = "vault:"
"""What operations at a vault begin with."""


class Means(StrEnum):
    """How an identity is cut off."""

    DIRECTORY = "quarantine in the directory"
    AWS_ROLE = "deny policy on the AWS role"
    AWS_USER = "deny policy on the AWS user, keys inactive"
    GOOGLE_ACCOUNT = "Google service account disabled"
    VAULT = "disabled at the vault, tokens revoked"
    NONE = "by hand"


@dataclass(frozen=True, slots=True)
class Cut:
    """What is to be done about one identity. `why` says why nothing is, where nothing is."""

    principal: str
    means: Means
    target: str
    why: str = ""


def planned(found: Iterable[Unmanaged]) -> tuple[Cut, ...]:
    """Return what is to be done about each identity, once for each target."""
    cuts: dict[tuple[Means, str], Cut] = {}
    for one in found:
        cut = _cut(one)
        cuts.setdefault((cut.means, cut.target), cut)
    return tuple(cuts.values())


def _cut(one: Unmanaged) -> Cut:
    who = one.principal
    if not one.proven:
        return Cut(who, Means.NONE, who, "it never proved itself: anybody can write a name")
    if one.agent is not None and one.reason in {Reason.FOREIGN_SESSION, Reason.EXPIRED}:
        return Cut(who, Means.DIRECTORY, one.agent)
    if who.startswith("arn:aws:sts::") and ":assumed-role/" in who:
        return Cut(who, Means.AWS_ROLE, f"{who.split(':')[4]}/{who.split('/')[1]}")
    if who.startswith("arn:aws:iam::") and ":user/" in who:
        return Cut(who, Means.AWS_USER, f"{who.split(':')[4]}/{who.rpartition('/')[2]}")
    if who.startswith("serviceAccount:"):
        return Cut(who, Means.GOOGLE_ACCOUNT, who.removeprefix("serviceAccount:"))
    if one.agent is not None and one.reason is Reason.NOT_ACTIVE:
        return Cut(who, Means.DIRECTORY, one.agent)
    if any(operation.startswith(_AT_VAULT) for operation in one.operations):
        return Cut(who, Means.VAULT, who)
    if one.agent is not None:
        return Cut(
            who, Means.NONE, who, "the directory gives it nothing; find who still lets it in"
        )
    return Cut(who, Means.NONE, who, "no means of the clouds' fits it; take away what lets it in")


@dataclass(frozen=True, slots=True)
class Done:
    """How one cut went; `error` is empty where it did."""

    cut: Cut
    error: str = ""


def carried_out(cuts: Iterable[Cut], hands: Mapping[Means, Hand]) -> tuple[Done, ...]:
    """Carry out every cut that has means; one that fails keeps none of the others."""
    done = []
    for cut in cuts:
        if cut.means is Means.NONE:
            continue
        try:
            hands[cut.means].cut(cut.target)
        except CutError as error:
            done.append(Done(cut, str(error)))
        except KeyError:
            done.append(Done(cut, f"nothing here can do it: {cut.means}"))
        else:
            done.append(Done(cut))
    return tuple(done)


@dataclass(frozen=True, slots=True)
class FromFunction:
    """A hand that is a function."""

    do: Callable[[str], str]

    def cut(self, target: str) -> str:
        """Cut a target off."""
        return self.do(target)
