"""What the office tells its people about models and versions. Nothing here holds a key, wrapped or not (R13)."""

from dataclasses import dataclass

from strongroom import names
from strongroom.canonical import MAX_INTEGER
from strongroom.errors import Code, DeniedError
from strongroom.server.accounts import MOST_LISTED, ROLES, allow
from strongroom.server.office import Office
from strongroom.server.ports import Operator, Standing, Version


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model: its versions newest first, its channels, and the place in order that comes next."""

    model: str
    channels: tuple[Standing, ...]
    versions: tuple[Version, ...]
    next: tuple[int, int]  # (epoch, counter)


@dataclass(frozen=True, slots=True)
class FileView:
    """What may be told of a stored file."""

    file_id: bytes
    key_id: bytes
    kind: str
    suite: int
    head: bytes
    size: int


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version and its files in order."""

    version: Version
    files: tuple[FileView, ...]


async def list_models(office: Office, operator: Operator, after: str) -> tuple[tuple[str, list[Standing]], ...]:
    """Return up to 100 models after the given name, each with its channels. Raises DeniedError(FORBIDDEN)."""
    await allow(office, operator, ROLES, "list models")
    async with office.ledger.begin() as tx:
        found = await tx.models(after=after, limit=MOST_LISTED)
        standings = await tx.standings(found)
    return tuple((name, [one for one in standings if one.model == name]) for name in found)


async def show_model(office: Office, operator: Operator, model: str) -> ModelView:
    """Return a model; one that nobody has published yet has no versions and a first place.

    Raises:
        DeniedError: FORBIDDEN.
        InputError: NAME.
    """
    await allow(office, operator, ROLES, "show a model")
    names.check("model", model)
    async with office.ledger.begin() as tx:
        channels = await tx.standings([model])
        versions = await tx.versions(model)
        newest = await tx.newest_counter(model)
    epoch, counter = newest or (1, 0)
    ordered = office.trust.epoch_of(model)
    following = (ordered, 1) if ordered > epoch else (epoch, min(counter + 1, MAX_INTEGER))  # shown, whatever is there
    return ModelView(model, tuple(channels), tuple(versions), following)


async def show_version(office: Office, operator: Operator, model: str, version: str) -> VersionView:
    """Return one version with its files.

    Raises:
        DeniedError: FORBIDDEN or NOT_FOUND.
        InputError: NAME.
    """
    await allow(office, operator, ROLES, "show a version")
    names.check("model", model)
    names.check("version", version)
    async with office.ledger.begin() as tx:
        row = await tx.version(model, version)
        files = await tx.files(row.id) if row else ()
    if row is None:
        raise DeniedError(Code.NOT_FOUND, "there is no such version", where=f"{model}@{version}")
    views = [FileView(one.file_id, one.key_id, one.kind, one.suite, one.head, one.size) for one in files]
    return VersionView(row, tuple(views))
