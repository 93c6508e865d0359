"""HTTPS to the hosts that trust.json pins, and to no others (docs/spec/protocol.md sections 1 and 3).

The pin is checked as part of connecting, before the first byte of a request can be written, so no connection exists
that was not checked. Everything that is read has a size limit and a least speed. Redirects, proxies, cookies, content
encodings and TLS below 1.3 are not refused by settings: they are absent.
"""

from strongroom.transport.answers import Response, raise_problem
from strongroom.transport.client import Pinned
from strongroom.transport.connection import spki_digest
from strongroom.transport.unpinned import fetch_trust

__all__ = ["Pinned", "Response", "fetch_trust", "raise_problem", "spki_digest"]
