"""What a release sealed opens for ever: the network form and a device's own copy, of every release (R21, R32)."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from strongroom import canonical, sealed
from strongroom.errors import IntegrityError
from strongroom.signing import Role

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*/*.srm"))


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


class Golden:
    """A file, and what the release said of it."""

    def __init__(self, path: Path) -> None:
        everything = json.loads((path.parent / "expected.json").read_bytes())
        self.readable = sealed.BytesReadable(path.read_bytes())
        self.mek = sealed.ModelKey(canonical.from_base64url(path.with_suffix(".mek").read_text("ascii").strip()))
        self.subject = sealed.Subject(*everything["subject"])
        self.owners = Role.from_value(json.loads((path.parent / "owners.json").read_bytes()), "owners.json")
        self.release, self.facts = everything, everything[path.name]

    def open(self) -> sealed.Opened:
        if self.facts["kind"] != sealed.LOCAL:
            expected = sealed.Expected(self.facts["kind"], self.subject, self.owners)
            return sealed.open_sealed(self.readable, self.mek, expected)
        origin_head = bytes.fromhex(self.facts["origin_head"])
        how = {"subject": self.subject, "owners": self.owners, "origin_head": origin_head, "checksums": True}
        return sealed.open_local(self.readable, self.mek, **how)


def test_the_releases_are_here():
    assert {path.parent.name for path in FILES} >= {"0.1.0"}
    assert sum(path.stat().st_size for path in FOLDER.glob("*/*")) < 200_000 * len(list(FOLDER.glob("*.*.*")))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_opens_for_ever(path):
    golden = Golden(path)
    opened = golden.open()
    assert [one.to_value() for one in opened.toc.files] == golden.facts["files"]
    for entry in opened.toc.files:
        assert hashlib.sha256(opened.file(entry.path)).digest() == entry.sha256
    assert opened.toc.description == sealed.Description(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in described(golden).items()}
    )
    assert (opened.head.suite, opened.head.digest.hex()) == (golden.facts["suite"], golden.facts["head"])
    assert (opened.head.core.epoch, opened.head.core.counter) == (golden.release["epoch"], golden.release["counter"])


def described(golden: Golden) -> dict:
    names = {one.name for one in dataclasses.fields(sealed.Description)}
    return {name: value for name, value in golden.release["description"].items() if name in names}


@pytest.mark.parametrize("path", [path for path in FILES if "local" not in path.name], ids=name_of)
def test_verifies_for_ever_and_needs_every_signature(path):
    golden = Golden(path)
    assert sealed.verify_sealed(golden.readable, golden.owners).digest.hex() == golden.facts["head"]
    with pytest.raises(IntegrityError) as refusal:
        sealed.verify_sealed(golden.readable, dataclasses.replace(golden.owners, threshold=3))
    assert refusal.value.code == "file-signature"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_was_refused_stays_refused(path):
    """A golden file with one bit changed anywhere opens in no release, this one included."""
    golden = Golden(path)
    data = bytearray(path.read_bytes())
    for at in range(7, len(data), 997):
        data[at] ^= 1
        golden.readable = sealed.BytesReadable(data)
        with pytest.raises(IntegrityError):
            golden.open()
        data[at] ^= 1
