"""What a release sealed opens for ever: the network form and a device's own copy, of every release (R21, R32)."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

import strongroom
from strongroom import canonical, sealed
from strongroom.errors import IntegrityError
from strongroom.signing import ED25519, ML_DSA_65, Role

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.*.*/*.srm"))
KINDS = (sealed.MODEL, sealed.LOCAL)
RELEASES = {  # SHA-256 of each release's folder, as `digest_of` computes it
    "0.1.0": "3ae13249d1984dbf75a4cc90234e258e3acfd24b7350cc7f9bdcf136b2bc5d2f",
}


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

    @property
    def expected(self) -> sealed.Expected:
        return sealed.Expected(self.facts["kind"], self.subject, self.owners)

    @property
    def local(self) -> dict:
        origin_head = bytes.fromhex(self.facts["origin_head"])
        return {"subject": self.subject, "owners": self.owners, "origin_head": origin_head}

    def open(self) -> sealed.Opened:
        if self.facts["kind"] != sealed.LOCAL:
            return sealed.open_sealed(self.readable, self.mek, self.expected)
        return sealed.open_local(self.readable, self.mek, checksums=True, **self.local)

    def parts(self) -> sealed.RandomAccess:
        if self.facts["kind"] != sealed.LOCAL:
            return sealed.open_random_access(self.readable, self.mek, self.expected)
        return sealed.open_local_random_access(self.readable, self.mek, **self.local)


def test_every_release_is_here_and_stays_as_it_was_made():
    """The release at hand has its files, and those of every release are what they were: nobody makes them again."""
    found = {folder.name: digest_of(folder) for folder in FOLDER.glob("*.*.*")}
    assert found == RELEASES
    assert strongroom.__version__ in RELEASES, "make the golden files of this release: see make_golden.py"
    assert sum(path.stat().st_size for path in FOLDER.glob("*.*.*/*")) < 200_000 * len(RELEASES)


def digest_of(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a folder."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_covers_what_the_format_has(release):
    """Both suites, each as it travels and as a device keeps it, several files, one of them empty, several owners."""
    golden = [Golden(path) for path in FILES if path.parent.name == release]
    assert {(one.facts["suite"], one.facts["kind"]) for one in golden} >= {(s, k) for s in (1, 2) for k in KINDS}
    for one in golden:
        sizes = [file["size"] for file in one.facts["files"]]
        assert len(sizes) >= 3
        assert 0 in sizes
        assert any(not file["path"].isascii() for file in one.facts["files"])
        if one.facts["kind"] != sealed.LOCAL:
            head = sealed.read_head(one.readable)
            assert {signature.alg for signature in head.signatures} == {ED25519, ML_DSA_65}
            assert len(head.signatures) == 3
            assert len(one.owners.principals) == 3
            assert one.owners.threshold == 2


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_its_parts_open_for_ever(path):
    """By position too, without step 9: every file's bytes have the SHA-256 the release wrote down."""
    golden = Golden(path)
    with golden.parts() as access:
        for entry in golden.facts["files"]:
            with access.open_file(entry["path"]) as file:
                data = file.read()
            assert len(data) == entry["size"]
            assert canonical.to_base64url(hashlib.sha256(data).digest()) == entry["sha256"]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_opens_for_ever(path):
    """What this release sealed opens for ever: whole, with every byte, name and number that the release wrote down."""
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
