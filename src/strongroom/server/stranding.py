"""Which published versions devices cannot open under a trust document: their files lack its owners' signatures."""

import asyncio

from strongroom.errors import Code, InputError
from strongroom.server.entitled import READY, opens
from strongroom.server.ports import Ledger
from strongroom.server.settings import Settings
from strongroom.server.wiring import open_ledger
from strongroom.wire.trust import Trust

_NAMED = 5  # versions that an error names


async def stranded(ledger: Ledger, trust: Trust) -> tuple[tuple[str, str], ...]:
    """Return (model, version) of what is ready and would be refused by devices that trust this document.

    A version of an epoch that the owners have left behind is not among them: to end it is what an epoch is for.
    """
    found, after = [], ""
    while True:
        async with ledger.begin() as tx:
            models = await tx.models(after=after)
            for model in models:
                for version in await tx.versions(model):
                    if version.state != READY or version.epoch < trust.epoch_of(model):
                        continue
                    files = await tx.files(version.id)
                    if not all(opens(file.head_part, file.size, trust.owner) for file in files):
                        found.append((model, version.version))
        if not models:
            return tuple(found)
        after = models[-1]


def check_nothing_stranded(settings: Settings, trust: Trust, where: str) -> None:
    """Refuse a document under which published versions do not open any more.

    Raises:
        InputError: CONFLICT, which names them.
        SetupError: DATABASE.
        StoreError: DATABASE.
    """

    async def ask() -> tuple[tuple[str, str], ...]:
        ledger = open_ledger(settings)
        try:
            return await stranded(ledger, trust)
        finally:
            await ledger.close()

    found = asyncio.run(ask())
    if found:
        named = ", ".join(f"{model} {version}" for model, version in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        what = f"devices would not open any more, for want of its owners' signatures: {named}{more}"
        step = (
            "first publish versions signed by all its owners and revoke or outrank these (docs/operations.md), "
            "or say --strand"
        )
        raise InputError(Code.CONFLICT, what, where=where, next_step=step)
