"""The way to a TPM: a device file, a unix socket or a TCP port; a command goes in, its answer comes out.

`/dev/tpmrm0` is the kernel's resource manager: several programs may use the chip at once. Over a socket (swtpm, the
TPM of a virtual machine) and over `/dev/tpm0` there is one client at a time and room for three objects.
"""

import errno
import os
import re
import select
import socket
import stat
from pathlib import Path
from typing import Protocol

from strongroom.errors import Code, SetupError, StoreError

DEFAULT = "/dev/tpmrm0"
TIMEOUT = 120.0  # seconds: a chip may look for RSA primes for a minute
CONNECT_TIMEOUT = 10.0  # seconds
HEADER = 10  # bytes: tag, size of all, code (Part 1, section 18)
MAX_ANSWER = 4096  # bytes; TPM2_PT_MAX_RESPONSE_SIZE of every TPM known is at most that
_TCP = re.compile(r"\[?([A-Za-z0-9.:_-]+?)\]?:([0-9]{1,5})")


class Transport(Protocol):
    """A line to one TPM."""

    def exchange(self, command: bytes) -> bytes:
        """Send a command and return its whole answer. Raises StoreError: STORE_IO."""
        ...

    def close(self) -> None:
        """Give the TPM free for others."""
        ...


def connect(address: str) -> Transport:
    """Open the way to the TPM at an address.

    Args:
        address: the path of a device or of a unix socket, or HOST:PORT of a swtpm's data port.

    Raises:
        SetupError: CONFIG, if there is no TPM; PERMISSIONS, if this user may not use it.
        StoreError: LOCKED, if another program has it for itself; STORE_IO.
    """
    tcp = None if "/" in address else _TCP.fullmatch(address)
    try:
        if tcp is not None:
            return SocketTransport(socket.create_connection((tcp[1], int(tcp[2])), CONNECT_TIMEOUT), address)
        mode = Path(address).stat().st_mode
        if stat.S_ISSOCK(mode):
            return SocketTransport(_unix(address), address)
        if stat.S_ISCHR(mode):
            return DeviceTransport(os.open(address, os.O_RDWR | os.O_CLOEXEC), address)
    except PermissionError:
        step = "let this user use it: add it to the group that owns the device (often tss)"
        raise SetupError(Code.PERMISSIONS, "this user may not use the TPM", where=address, next_step=step) from None
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, BlockingIOError) or getattr(error, "errno", None) == errno.EBUSY:  # /dev/tpm0 has one user
            step = f"use {DEFAULT}, which several programs may use at once"
            raise StoreError(Code.LOCKED, "another program uses the TPM", where=address, next_step=step) from None
        raise _absent(address, "no TPM answers there") from None
    raise _absent(address, "this is no TPM: neither a device nor a socket")


def absolute(address: str) -> str:
    """Return an address that means the same from every working directory."""
    tcp = "/" not in address and _TCP.fullmatch(address)
    return address if tcp else str(Path(address).absolute())


class SocketTransport:
    """A stream: the answer's header says how long it is."""

    def __init__(self, line: socket.socket, address: str) -> None:
        self._line = line
        self._address = address
        line.settimeout(TIMEOUT)

    def exchange(self, command: bytes) -> bytes:
        """Send a command and return its whole answer. Raises StoreError: STORE_IO."""
        try:
            self._line.sendall(command)
            header = self._take(HEADER)
            size = int.from_bytes(header[2:6], "big")
            if not HEADER <= size <= MAX_ANSWER:
                raise _broken(self._address, f"its answer claims to have {size} bytes")
            return header + self._take(size - HEADER)
        except OSError as error:
            raise _broken(self._address, f"the line to it broke: {error.strerror or 'no answer in time'}") from None

    def close(self) -> None:
        self._line.close()

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._line.recv(size - len(data))
            if not piece:
                raise _broken(self._address, "the line to it was closed")
            data += piece
        return data


class DeviceTransport:
    """A device file of the Linux kernel: one write is a command, one read its answer."""

    def __init__(self, handle: int, address: str) -> None:
        self._handle = handle
        self._address = address

    def exchange(self, command: bytes) -> bytes:
        """Send a command and return its whole answer. Raises StoreError: STORE_IO."""
        try:
            if os.write(self._handle, command) != len(command):
                raise _broken(self._address, "it took part of a command")
            ready, _, _ = select.select([self._handle], [], [], TIMEOUT)
            answer = os.read(self._handle, MAX_ANSWER) if ready else b""
        except OSError as error:
            raise _broken(self._address, f"the device failed: {error.strerror or 'unknown'}") from None
        if len(answer) < HEADER or int.from_bytes(answer[2:6], "big") != len(answer):
            raise _broken(self._address, f"its answer is cut: {len(answer)} bytes")
        return answer

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _unix(address: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(CONNECT_TIMEOUT)
        line.connect(str(Path(address)))
    except BaseException:
        line.close()
        raise
    return line


def _absent(address: str, what: str) -> SetupError:
    step = f"name it with --tpm: {DEFAULT}, the path of a swtpm's socket, or HOST:PORT"
    return SetupError(Code.CONFIG, what, where=address, next_step=step)


def _broken(address: str, what: str) -> StoreError:
    step = "see that the TPM is there (`tpm2_getcap properties-fixed`), then try again"
    return StoreError(Code.STORE_IO, f"the TPM gave no answer that can be used: {what}", where=address, next_step=step)
