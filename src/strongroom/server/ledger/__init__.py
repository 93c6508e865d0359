"""The ledger: rows in a database, its tables and their history."""

from strongroom.server.ledger.migrate import current, head, upgrade

__all__ = ["current", "head", "upgrade"]
