"""Overwriting what was secret, as far as Python allows.

What these functions reach is gone when they return. Copies that the interpreter, the cipher library or the operating
system made before are not reached, so this shortens how long a secret lies in memory and promises nothing beyond that.
"""

import ctypes
import sys

_BYTES_OFFSET = bytes.__basicsize__ - 1  # CPython: data follow the fixed part, which counts one NUL


def wipe(view: bytearray | memoryview) -> None:
    """Overwrite a writable, contiguous buffer with zeros, in place and without an allocation of its size."""
    size = view.nbytes if isinstance(view, memoryview) else len(view)
    if size:
        ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(view)), 0, size)


def wipe_bytes(data: bytes) -> None:
    """Overwrite a bytes object that nobody else holds, such as one a cipher library has just returned.

    Only right for a fresh object: a literal, an interned value or a dictionary key would be ruined for everyone.
    Does nothing on interpreters other than CPython.
    """
    # Objects of length 0 and 1 are shared by the whole interpreter, so they must stay as they are.
    if len(data) > 1 and sys.implementation.name == "cpython":
        ctypes.memset(id(data) + _BYTES_OFFSET, 0, len(data))
