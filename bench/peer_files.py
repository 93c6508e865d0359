"""The same model as Tink and age keep it, where they are installed."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from material import BLOCK, PLAIN, sealed_and_local

TINK, AGE = "tink", "age"
_KEYSET, _IDENTITY = "tink.json", "age.txt"


@contextmanager
def with_peers(folder: Path, size: int) -> Iterator[None]:
    """Make strongroom's files, and the peers' that are installed."""
    with sealed_and_local(folder, size):
        make_keys(folder)
        if importlib.util.find_spec("tink"):
            with (folder / PLAIN).open("rb") as file, (folder / TINK).open("wb") as sink:
                seal_tink(tink_primitive(folder), file, sink)
        if importlib.util.find_spec("pyrage"):
            import pyrage

            pyrage.encrypt_file(str(folder / PLAIN), str(folder / AGE), [age_identity(folder).to_public()])
        yield


def make_keys(folder: Path) -> None:
    """Make a key of each peer that is installed."""
    if importlib.util.find_spec("tink"):
        from tink import json_proto_keyset_format, new_keyset_handle, secret_key_access, streaming_aead

        streaming_aead.register()
        handle = new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
        text = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
        (folder / _KEYSET).write_text(text, encoding="utf-8")
    if importlib.util.find_spec("pyrage"):
        import pyrage

        (folder / _IDENTITY).write_text(str(pyrage.x25519.Identity.generate()), encoding="ascii")


def tink_primitive(folder: Path) -> Any:  # noqa: ANN401 - Tink ships no types
    """Load Tink's streaming AEAD."""
    from tink import json_proto_keyset_format, secret_key_access, streaming_aead

    streaming_aead.register()
    text = (folder / _KEYSET).read_text(encoding="utf-8")
    return json_proto_keyset_format.parse(text, secret_key_access.TOKEN).primitive(streaming_aead.StreamingAead)


def age_identity(folder: Path) -> Any:  # noqa: ANN401 - pyrage ships no types
    """Load the key that opens age's file."""
    import pyrage

    return pyrage.x25519.Identity.from_str((folder / _IDENTITY).read_text(encoding="ascii"))


def seal_tink(primitive: Any, file: Any, sink: Any) -> None:  # noqa: ANN401 - Tink ships no types
    """Encrypt as Tink's own example does; pieces of 64 KiB to 4 MiB cost the same."""
    with primitive.new_encrypting_stream(sink, b"") as stream:
        while data := file.read(BLOCK):
            stream.write(data)
