"""The office in memory, reached over a socket: a device that is killed takes nothing of it along."""

import base64
import json
import socket
import struct
import threading
from collections.abc import Mapping

from rooms.edge.memory_office import MemoryOffice
from strongroom.transport import Response

_LENGTH = struct.Struct("!I")


class FarOffice:
    """What a device in another process sees of the office. Its clock stands as long as the process lives."""

    def __init__(self, line: socket.socket, office: MemoryOffice) -> None:
        self._line, self.now, self.trust_documents = line, office.now, office.trust_documents
        self._lock = threading.Lock()  # one question at a time, though segments are fetched by several threads

    def request(
        self,
        method: str,
        path_or_url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit: int,
    ) -> Response:
        asked = {"method": method, "path": path_or_url, "headers": dict(headers or {}), "limit": limit}
        said, answer = self._asked(asked, body)
        return Response(said["status"], said["headers"], answer)

    def read_range(self, url: str, offset: int, length: int) -> bytes:
        return self._asked({"url": url, "offset": offset, "length": length}, b"")[1]

    def _asked(self, asked: dict, body: bytes) -> tuple[dict, bytes]:
        with self._lock:
            send(self._line, asked, body)
            answer = receive(self._line)
        assert answer is not None
        return answer


def serve(line: socket.socket, office: MemoryOffice) -> list[dict]:
    """Answer one device until it is gone; return what else it said, in order."""
    said = []
    while (one := receive(line)) is not None:
        asked, body = one
        if "url" in asked:
            send(line, {}, office.read_range(**asked))
        elif "path" in asked:
            answer = office.request(
                asked["method"], asked["path"], body=body, headers=asked["headers"], limit=asked["limit"]
            )
            send(line, {"status": answer.status, "headers": dict(answer.headers)}, answer.body)
        else:
            said.append(asked)
    return said


def send(line: socket.socket, value: dict, body: bytes = b"") -> None:
    """Send a value and some bytes; no call of this is among those that change a disk."""
    head = json.dumps(value | {"body": base64.b64encode(body).decode()}).encode()
    line.sendall(_LENGTH.pack(len(head)) + head)


def receive(line: socket.socket) -> tuple[dict, bytes] | None:
    """Return the next value and its bytes, or None when the other side is gone."""
    head = _exactly(line, _LENGTH.size)
    data = None if head is None else _exactly(line, *_LENGTH.unpack(head))
    if data is None:
        return None
    value = json.loads(data)
    return value, base64.b64decode(value.pop("body"))


def _exactly(line: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            piece = line.recv(size - len(data))
        except ConnectionResetError:
            return None
        if not piece:
            return None
        data += piece
    return bytes(data)
