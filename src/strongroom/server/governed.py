"""Which rules govern which published models, and which rules govern none: a name that is misspelt takes no check away.

Rules may be written before their model is published, so nothing here keeps a server from starting; all of it is said.
"""

import asyncio
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom.attest.policy_file import PolicySet
from strongroom.server.settings import Settings
from strongroom.server.wiring import open_ledger

_PAGE = 100  # names that are asked for at a time
_SHOWN = 10  # names in one sentence


@dataclass(frozen=True, slots=True)
class Governed:
    """How the rules and the published models fit together.

    Attributes:
        odd: a sentence for each that hardly anybody meant.
        by_default: published models without rules of their own, for which [default] holds.
    """

    odd: tuple[str, ...]
    by_default: tuple[str, ...]


def compare(policies: PolicySet, published: Sequence[str]) -> Governed:
    """Compare the names in a policy file with those of the published models."""
    by_default = tuple(name for name in published if name not in policies.models)
    odd = []
    for name in sorted(policies.models.keys() - set(published)):
        close = difflib.get_close_matches(name, by_default, n=1, cutoff=0.6)
        meant = f": is {close[0]} meant, which [default] governs now?" if close else ""
        odd.append(f"[models.{name}] names no published model{meant}")
    if by_default and not policies.default.serves:
        odd.append(f"nobody gets {listed(by_default)}: no rules of their own, and [default] takes nothing")
    return Governed(tuple(odd), by_default)


def governed(settings: Settings, policies: PolicySet) -> Governed:
    """Compare the rules with the ledger's models.

    Raises:
        SetupError: DATABASE.
        StoreError: DATABASE.
    """
    return compare(policies, asyncio.run(_published(settings)))


def listed(names: Sequence[str]) -> str:
    """Return the first of some names in one line, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


async def _published(settings: Settings) -> list[str]:
    ledger = open_ledger(settings)
    try:
        found: list[str] = []
        async with ledger.begin() as tx:
            while page := await tx.models(after=found[-1] if found else "", limit=_PAGE):
                found += page
        return found
    finally:
        await ledger.close()
