"""The transcripts of the protocol: what each check and each of its wrong twins comes to, and that they are made so."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from strongroom.canonical import decode, from_base64url
from strongroom.signing import PUBLIC_SIZES, SigningKey
from strongroom.wire import hpke
from strongroom.wire.hpke import DepositKey
from vectors import make_transcripts, transcript_keys
from vectors.transcript_judge import CHECKS, changed, judge

SPEC = Path(__file__).resolve().parents[2] / "docs" / "spec" / "protocol.md"
TRANSCRIPTS = {
    path.stem: decode(path.read_bytes(), limit=4_000_000, where=path.name)
    for path in sorted(make_transcripts.FOLDER.glob("*.json"))
}
NAMES = sorted(TRANSCRIPTS)
SENT = {"request", "answer", "body", "proof", "challenge", "grant", "url"}  # inputs that went over the wire
NOT_SENT = {"first": {"trust"}, "receipt": {"order"}}
MADE_UP = ("unknown code", "a code beats")  # refusals that nobody met in the story


def base_of(transcript: dict, twin: dict) -> dict:
    return next(one for one in transcript["checks"] if one["name"] == twin["of"])


@pytest.mark.parametrize("name", NAMES)
def test_every_check_comes_to_what_the_file_says(name):
    """The verdict, and what comes of it: bindings, HPKE infos, model keys, ends of leases."""
    for one in TRANSCRIPTS[name]["checks"]:
        assert judge(one["check"], one["inputs"]) == (one["expect"], one["gives"]), one["name"]


@pytest.mark.parametrize("name", NAMES)
def test_every_twin_is_refused_with_its_code(name):
    """One byte, one field, or one fact of the checker's own is another: each is refused, and for its own reason."""
    transcript, wrong = TRANSCRIPTS[name], []
    for twin in transcript["twins"]:
        base = base_of(transcript, twin)
        verdict, gives = judge(base["check"], changed(base["inputs"], twin["change"]))
        if verdict != twin["expect"] or (base["check"] != "problem" and gives is not None):
            wrong.append((twin["name"], twin["expect"], verdict))
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_is_its_check_but_for_one_input(name):
    transcript = TRANSCRIPTS[name]
    names = Counter(twin["name"] for twin in transcript["twins"])
    assert max(names.values()) == 1, names.most_common(1)
    for twin in transcript["twins"]:
        base = base_of(transcript, twin)
        bent = changed(base["inputs"], twin["change"])
        assert [key for key in bent if bent[key] != base["inputs"][key]] == [twin["change"]["input"]]
        assert twin["expect"] != base["expect"]
        assert base["expect"] == "success" or base["check"] == "problem"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_checked_is_what_went_over_the_wire(name):
    transcript = TRANSCRIPTS[name]
    texts = {one[key] for one in transcript["exchanges"] for key in ("body", "answer", "dpop", "url") if key in one}
    for one in transcript["checks"]:
        if one["name"].startswith(MADE_UP):
            continue
        for key in SENT & one["inputs"].keys() - NOT_SENT.get(one["name"], set()):
            assert one["inputs"][key] in texts, (one["name"], key)


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_there_with_its_private_half(name):
    transcript = TRANSCRIPTS[name]
    numbers = {word: kem for kem, word in hpke.KEMS.items()}
    for one in transcript["keys"]:
        seed, public = from_base64url(one["seed"]), from_base64url(one["public"])
        if one["alg"] in PUBLIC_SIZES:
            assert SigningKey(one["alg"], seed).public.raw == public
        else:
            assert DepositKey.from_seed(numbers[one["alg"]], seed).public == public
    assert transcript["note"].startswith("Test keys")
    senders = [from_base64url(one["public"]) for one in transcript["keys"] if one["name"] == "sender"]
    texts = "".join(one["answer"] + one["body"] for one in transcript["exchanges"])
    for public in senders:  # enc of what was sealed, in the grant's payload or the deposit's field
        payloads = [from_base64url(one) for one in re.findall(r"[\w-]+\.([\w-]{300,})\.[\w-]+", texts)]
        sealed = re.findall(r'"sealed": ?"([\w-]+)"', texts + b"".join(payloads).decode("latin-1"))
        assert any(from_base64url(one).startswith(public) for one in sealed)


def test_there_are_enough_of_each():
    """Thirteen stories, hundreds of twins, every kind of check on both sides, every code a device can refuse with."""
    checks = [one for transcript in TRANSCRIPTS.values() for one in transcript["checks"]]
    twins = [one for transcript in TRANSCRIPTS.values() for one in transcript["twins"]]
    assert len(TRANSCRIPTS) >= 10
    assert len(twins) >= 500
    assert {one["check"] for one in checks} == set(CHECKS)
    by_check = Counter(
        base_of(transcript, one)["check"] for transcript in TRANSCRIPTS.values() for one in transcript["twins"]
    )
    assert min(by_check[one] for one in CHECKS if one != "urls") >= 10
    assert {one["by"] for one in checks} == {"device", "office"}
    one_letter = [
        one["change"] for one in twins if len(one["change"].get("was", "")) == len(one["change"].get("now", "")) == 1
    ]
    assert len(one_letter) >= 60
    judged_here = "json-not-canonical shape signature public-key trust-version trust-threshold trust-expired sealed-key"
    judged_here += (
        " grant-mismatch grant-rollback grant-frozen lease-mismatch lease-expired order-mismatch order-expired"
    )
    assert {one["expect"] for one in twins} >= set(f"{judged_here} receipt proof token".split())


def test_the_generator_makes_what_is_committed():
    made = make_transcripts.everything()
    assert sorted(made) == sorted(path.name for path in make_transcripts.FOLDER.iterdir())
    for name, data in made.items():
        assert data == (make_transcripts.FOLDER / name).read_bytes(), name
    assert json.loads(transcript_keys.KEPT.read_bytes()) == transcript_keys.used


def test_the_worked_example_of_the_specification():
    """Section 15 shows bytes of `release-x25519.json`, and no others."""
    section = SPEC.read_text(encoding="utf-8").split("## 15. ")[1].split("\n## ")[0]
    block = re.findall(r"^```\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[-1]
    shown: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        match = re.fullmatch(r"(?:(\S.*?) {2,}| +)([0-9a-f ]+)", line)
        assert match, line
        name = match[1] or name
        shown[name] = shown.get(name, "") + match[2].replace(" ", "")
    found = {name: bytes.fromhex(text) for name, text in shown.items()}
    transcript = TRANSCRIPTS["release-x25519"]
    grant = next(one for one in transcript["checks"] if one["name"] == "grant")
    keys = {one["name"]: one for one in transcript["keys"]}
    gives = grant["gives"]
    assert found["ephemeral seed"] == from_base64url(keys["ephemeral"]["seed"])
    assert found["ephemeral public"] == from_base64url(keys["ephemeral"]["public"])
    assert found["binding"] == from_base64url(gives["binding"])
    assert found["info"] == from_base64url(gives["info"])
    assert found["info"] == b"strongroom/release/v1\0" + found["binding"] + found["grant without sealed"]
    assert found["request"] == hashlib.sha256(grant["inputs"]["request"].encode()).digest()
    jws = decode(grant["inputs"]["answer"].encode(), limit=1_048_576)["grant"][0]
    payload = decode(from_base64url(jws.split(".")[1]), limit=262_144)
    assert found["request"] == from_base64url(payload["request"])
    sealed = found["enc"] + found["ciphertext and tag"]
    assert sealed == from_base64url(payload["sealed"])
    assert found["MEK"] == from_base64url(gives["meks"][0])
    assert found["enc"] == from_base64url(keys["sender"]["public"])
