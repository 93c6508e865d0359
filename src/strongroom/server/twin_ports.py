"""What decoy twins need of the ledger: a second set of files of a version, and who was given which set.

Row fields are append-only, since they are what the database holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TwinRow:
    """A decoy twin of a version. `state`: uploading, checking, ready, failed. Unique on the version."""

    id: str
    version_id: str
    state: str
    reason: str  # why it failed, for its publisher
    publisher: str
    created: int


@dataclass(frozen=True, slots=True)
class Given:
    """Which set of a version's files a device was last given and did not report wiped; `twin` is None for the real."""

    release: str
    twin: str | None


class TwinTransaction(Protocol):
    """The part of `ports.Transaction` that is about decoy twins; what takes or gives files is there."""

    async def twin(self, id_: str) -> TwinRow | None: ...
    async def twin_of(self, version_id: str) -> TwinRow | None: ...
    async def twin_of_object(self, object_name: str) -> TwinRow | None: ...  # whose file lies under this name
    async def unfinished_twins(self) -> Sequence[TwinRow]: ...  # state checking, for start-up
    async def set_twin_state(self, id_: str, state: str, *, reason: str = "") -> None: ...
    async def remove_twin(self, id_: str) -> None: ...  # and its files
    async def given(self, device: str, version_id: str) -> Given | None: ...
    async def end_twins(self, device: str, *, at: int) -> int:
        """End every release of a twin to a device, so that it is given real files again; return how many."""
