"""The sealed model file: bytes in, bytes out (docs/spec/sealed-file.md).

Seal with `seal`, open with `open_sealed`, check without a key with `verify_sealed`; `unlock` and `Unlocked` open
segment by segment, `open_random_access` reads parts, `start_local`, `go_on_local` and `open_local` keep a device's own
copy, `copy_signed` adds an owner's signature.
"""

from strongroom.sealed.begun import BegunLocal, go_on_local
from strongroom.sealed.cosigning import add_signature, copy_signed
from strongroom.sealed.fields import DELTA, KINDS, LOCAL, MODEL, OVERLAY, CoreHeader, FileLink, Signature
from strongroom.sealed.header import MAX_HEAD_PART, PREAMBLE_SIZE, Head, Preamble, parse_head, read_preamble
from strongroom.sealed.keys import FileKeys, ModelKey, Subject, blind_content, blind_subject, derive
from strongroom.sealed.local import LocalWriter, open_local, open_local_random_access, start_local
from strongroom.sealed.missing import missing_segments
from strongroom.sealed.opening import Opened, open_sealed, read_head, verify_sealed
from strongroom.sealed.payload import FileChecker
from strongroom.sealed.random_access import RandomAccess, SealedFile, open_random_access
from strongroom.sealed.readable import BytesReadable, FileReadable, Readable, ReadableInto
from strongroom.sealed.reader import Expected, Unlocked, check_head, check_signatures, check_stored, unlock
from strongroom.sealed.sources import Source, sources_of
from strongroom.sealed.streaming import PayloadStream, open_stream
from strongroom.sealed.suites import SUITES, stored_size
from strongroom.sealed.toc import Description, FileEntry, OriginRecord, TableOfContents
from strongroom.sealed.wiping import wipe, wipe_bytes
from strongroom.sealed.writer import DEFAULT_SEGMENT, seal

__all__ = [
    "DEFAULT_SEGMENT",
    "DELTA",
    "KINDS",
    "LOCAL",
    "MAX_HEAD_PART",
    "MODEL",
    "OVERLAY",
    "PREAMBLE_SIZE",
    "SUITES",
    "BegunLocal",
    "BytesReadable",
    "CoreHeader",
    "Description",
    "Expected",
    "FileChecker",
    "FileEntry",
    "FileKeys",
    "FileLink",
    "FileReadable",
    "Head",
    "LocalWriter",
    "ModelKey",
    "Opened",
    "OriginRecord",
    "PayloadStream",
    "Preamble",
    "RandomAccess",
    "Readable",
    "ReadableInto",
    "SealedFile",
    "Signature",
    "Source",
    "Subject",
    "TableOfContents",
    "Unlocked",
    "add_signature",
    "blind_content",
    "blind_subject",
    "check_head",
    "check_signatures",
    "check_stored",
    "copy_signed",
    "derive",
    "go_on_local",
    "missing_segments",
    "open_local",
    "open_local_random_access",
    "open_random_access",
    "open_sealed",
    "open_stream",
    "parse_head",
    "read_head",
    "read_preamble",
    "seal",
    "sources_of",
    "start_local",
    "stored_size",
    "unlock",
    "verify_sealed",
    "wipe",
    "wipe_bytes",
]
