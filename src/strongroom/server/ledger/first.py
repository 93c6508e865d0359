"""The first rows of a fresh database, written before anything is served."""

import dataclasses

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError

from strongroom.canonical import encode
from strongroom.server.ledger import tables
from strongroom.server.ledger.engine import place, translate
from strongroom.server.ledger.migrate import sync_engine
from strongroom.server.ports import AuditEvent, Operator


def add_first_operator(url: str, operator: Operator, event: AuditEvent) -> None:
    """Write the first operator and the audit line about it, both or none.

    Raises:
        SetupError: DATABASE.
        StoreError: DATABASE.
    """
    engine = sync_engine(url, create=False)
    try:
        with engine.begin() as connection:
            connection.execute(insert(tables.OPERATORS).values(dataclasses.asdict(operator)))
            detail = encode(dict(event.detail)).decode("ascii")
            connection.execute(insert(tables.AUDIT).values(dataclasses.asdict(event) | {"detail": detail}))
    except SQLAlchemyError as error:
        raise translate(error, place(engine.url)) from None
    finally:
        engine.dispose()
