"""Every byte that docs/spec/sealed-file.md shows is one of the vectors: its worked examples are worked."""

import base64
import json
import re
from pathlib import Path

import pytest

from strongroom import canonical, sealed
from strongroom.signing import ED25519, PublicKey
from vectors import make_sealed

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec" / "sealed-file.md"
SECTIONS = re.split(r"^## (?=\d)", SPEC.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
BLOCK = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINE = re.compile(r"^(?:(\S+(?: \S+)*?) {2,})? *((?:[0-9a-f]{2,} ?)+)(?:  .*)?$")


def blocks(section: int) -> list[str]:
    """Return the plain blocks of a section."""
    return BLOCK.findall(SECTIONS[section - 1])


def named(block: str) -> dict[str, bytes]:
    """Read lines of a name and hexadecimal; a line without a name continues the one before."""
    found: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        match = LINE.match(line)
        if match is None:
            name = line.strip()
            continue
        name = match[1] or name
        found[name] = found.get(name, "") + match[2].replace(" ", "")
    return {name: bytes.fromhex(text) for name, text in found.items()}


@pytest.fixture(scope="module")
def schedules() -> dict[str, dict[str, bytes]]:
    """The values of each file that the document takes its bytes from."""
    read = {}
    for name in make_sealed.SCHEDULES:
        values = json.loads((make_sealed.FOLDER / name).read_bytes())
        texts = ("suite", "subject_input", "subject")
        read[name] = {key: bytes.fromhex(value) for key, value in values.items() if key not in texts}
    return read


@pytest.fixture(scope="module")
def model(schedules) -> dict[str, bytes]:
    """The file of section 2."""
    return schedules["key-schedule.json"]


def test_the_preamble(model):
    block = next(one for one in blocks(2) if one.startswith("89 53"))
    shown = "".join(line.split("   ")[0] for line in block.splitlines())
    assert bytes.fromhex(shown) == model["file"][:32]
    head = sealed.read_head(sealed.BytesReadable(model["file"]))
    sizes = [head.offset(0), head.plain_length(0), head.stored_length(0), head.plain_length(1), head.stored_length(1)]
    for number in (*sizes, head.file_size):
        assert f"{number:,}" in SECTIONS[1]


def test_the_keys(model):
    shown = named(blocks(6)[1])
    head = sealed.read_head(sealed.BytesReadable(model["file"]))
    wanted = {"MEK": "mek", "PRK": "prk", "COM": "commitment", "K_mac": "mac_key", "K_pay": "payload_key"}
    wanted |= {"K_blind": "blind_key", "file_id": "file_id"}
    values = {name: model[key] for name, key in wanted.items()} | {"MAC": head.mac}
    values['subject of ["ac_customer","digits","1.0",null]'] = head.core.subject
    assert shown == values


def test_the_signature(model):
    shown = named(blocks(7)[-1])
    head = sealed.read_head(sealed.BytesReadable(model["file"]))
    assert shown.pop("digest") == head.digest
    assert shown["signed"] == head.signed_bytes
    assert shown["R"] + shown["S"] == head.signatures[0].sig
    key = PublicKey(ED25519, shown["public key"])
    assert key.key_id == head.signatures[0].key
    assert key.verify(shown["R"] + shown["S"], shown["signed"])


@pytest.mark.parametrize("index", [0, 1])
def test_the_segments(model, index):
    shown = named(next(one for one in blocks(8) if one.startswith(f"context_{index}")))
    derived = model[f"derived_{index}"]
    assert shown.pop(f"context_{index}") == model[f"context_{index}"]
    assert shown.pop(f"salt_{index}") == model[f"salt_{index}"]
    assert (shown.pop("key"), shown.pop("base nonce"), shown.pop("commitment")) == (
        derived[:32],
        derived[32:44],
        derived[44:],
    )
    assert shown == ({} if index else {"segment_0": model["segment_0"]})


@pytest.mark.parametrize("section", [4, 5, 7, 9, 12])
def test_the_json(schedules, section):
    """What is shown is in the file, spelled so, and the whole of its part unless it says otherwise."""
    found = [block.replace("\n", "") for block in blocks(section) if block[0] in "{["]
    name = "key-schedule-local.json" if section == 12 else "key-schedule.json"
    values = schedules[name]
    head = sealed.read_head(sealed.BytesReadable(values["file"]))
    core = canonical.encode(head.core.to_value())
    manifest, block = values["head"][20 + len(core) :], head.head_part[len(values["head"]) + 12 + 32 :]
    parts = (core, manifest, block, values["toc"])
    assert found
    for text in found:
        assert text.encode() in parts or (section == 12 and values["toc"].startswith(text.encode())), text[:60]


def test_a_local_file_carries_its_origin(schedules, model):
    local = json.loads(schedules["key-schedule-local.json"]["toc"])
    head = sealed.read_head(sealed.BytesReadable(model["file"]))
    assert base64.urlsafe_b64decode(local["origin"]["head_part"] + "==") == head.head_part
    assert canonical.from_base64url(local["origin"]["blind"]) == model["blind_key"]
    assert f"all {len(head.head_part)} bytes" in SECTIONS[11]
