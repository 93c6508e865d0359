"""Which uploads are still awaited: a link outlives the deposit it was made for (docs/spec/protocol.md section 11)."""

from strongroom.errors import Code, InputError
from strongroom.server.office import Office
from strongroom.server.publish import UPLOADING


async def may_write(office: Office, object_name: str) -> None:
    """See that an object belongs to a version that still waits for its files; ask once the link itself was checked.

    Raises:
        InputError: CONFLICT if it does not: the version was completed, has failed, or another deposit took its place.
        StoreError: DATABASE.
    """
    async with office.ledger.begin() as tx:
        awaited = await tx.twin_of_object(object_name) or await tx.version_of_object(object_name)
    if awaited is None or awaited.state != UPLOADING:
        raise InputError(Code.CONFLICT, "nothing waits for this upload any more", where=f"object {object_name}")
