"""The one request that needs no pins: the chain of trust documents, which proves itself (protocol.md section 3).

This is how a device learns the new pins when the old ones hold no longer. Nothing else may be asked for this way: no
token, no proof and no name of a model is sent, and nothing is believed of what comes but the owners' signatures in it.
"""

import ssl
from urllib.parse import urlsplit

from strongroom.transport.answers import Response
from strongroom.transport.client import Pinned
from strongroom.transport.connection import PinnedConnection
from strongroom.wire.messages import TrustAnswer
from strongroom.wire.trust import Pin


def fetch_trust(server: str, version: int, *, timeout: float = 10.0) -> Response:
    """Ask whoever answers at the server's address for the trust documents after a version.

    Args:
        server: base URL of the device API.
        version: of the document in force.
        timeout: seconds to wait for a connection, and for the first byte of the answer.

    Raises:
        InputError: ARGUMENT, when `server` is not an https URL.
        UnreachableError: UNREACHABLE, ANSWER.
    """
    host = urlsplit(server).hostname or ""
    with _Unpinned(server, (Pin(host, None, ()),), timeout=timeout) as client:
        return client.request("GET", f"/v1/trust?from={version}", limit=TrustAnswer.LIMIT)


class _Connection(PinnedConnection):
    def connect(self) -> None:
        super(PinnedConnection, self).connect()  # passes over the pin, and over nothing else


class _Unpinned(Pinned):
    def _fresh(self, host: str, port: int) -> PinnedConnection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the documents are signed by their owners, whoever carries them
        return _Connection(host, port, context=context, pinned=frozenset(), timeout=self._timeout)
