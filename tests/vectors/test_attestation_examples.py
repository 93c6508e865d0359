"""Every byte that docs/spec/protocol.md shows of a TPM's second secret is what the code makes, and another hand too."""

import hashlib
import hmac
import re
from pathlib import Path

from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from strongroom.server.activations import LABEL
from strongroom.wire import second_secret

SPEC = (Path(__file__).resolve().parents[2] / "docs" / "spec" / "protocol.md").read_text(encoding="utf-8")
SECTION = SPEC.split("## 17. ")[1].split("\n## ")[0]


def shown(name: str) -> bytes:
    """Return the hexadecimal behind a name, with the lines that continue it."""
    found = re.search(rf"^{name} +((?:[0-9a-f]+\s+)+)", SECTION, re.MULTILINE)
    assert found, name
    return bytes.fromhex("".join(found[1].split()))


def test_the_key_wrap_of_the_example():
    binding = bytes.fromhex(re.search(r"`\"@stable\"` give\n\n```\n([0-9a-f]{64})", SPEC)[1])
    secret, mek, kek, wrapped = map(shown, ("the 32 bytes", "MEK", "KEK", "wrapped"))
    assert second_secret.wrap(secret, binding, mek) == wrapped
    assert second_secret.unwrap(secret, binding, wrapped) == mek
    label = second_secret.INFO
    by_hand = hmac.digest(hmac.digest(binding, secret, hashlib.sha256), label + b"\1", hashlib.sha256)  # RFC 5869
    assert by_hand == kek
    assert aes_key_wrap(kek, mek) == wrapped


def test_the_labels_are_those_of_the_specification():
    for label in (LABEL, second_secret.INFO):
        assert f'"{label[:-1].decode()}\\0"' in SECTION
