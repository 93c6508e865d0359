"""Transcripts of what owners and publishers do: a chain of trust, its hybrid sister, a deposit."""

from collections.abc import Sequence

from strongroom.canonical import decode, encode, from_base64url, to_base64url
from strongroom.signing import ES256, ML_DSA_65, Principal, Role
from strongroom.wire import hpke, jws
from strongroom.wire import trust as trust_file
from strongroom.wire.trust import Trust
from vectors.transcript_bending import misspelled, one_jws, other, several_jws, spelled, within
from vectors.transcript_keys import FixedSigner, seal, seed_of
from vectors.transcript_proofs import add, sent
from vectors.transcript_scene import DEPOSIT, FixedBench, Transcript, record, trust_of

ANNA, BERTA, CLARA, DORA, ERNA = (FixedSigner(name) for name in ("Anna", "Berta", "Clara", "Dora", "Erna"))
ANNA_CHIP = FixedSigner("Anna's chip", ES256)
NEXT_RELEASE = FixedSigner("next release")
HYBRID = (FixedSigner("hybrid"), FixedSigner("hybrid pq", ML_DSA_65))
NEW_HYBRID = (FixedSigner("new hybrid"), FixedSigner("new hybrid pq", ML_DSA_65))


def role(threshold: int, *signers: FixedSigner | Sequence[FixedSigner]) -> Role:
    """Return a role; several keys in a bracket are one hybrid principal."""
    groups = [(one,) if isinstance(one, FixedSigner) else one for one in signers]
    return Role(threshold, tuple(Principal(tuple(key.public for key in keys)) for keys in groups))


def signed(payload: dict | Trust, *signers: FixedSigner) -> list[str]:
    """Sign a document with any signers, right or wrong ones."""
    value = payload.to_value() if isinstance(payload, Trust) else payload
    return list(jws.sign("sr-trust", encode(value), signers))


def _document(signatures: list[str]) -> str:
    return trust_file.join(signatures).decode()


def _chain(*documents: list[str]) -> str:
    return encode({"trust": list(documents)}).decode()


def chain() -> Transcript:
    """Follow two steps: an owner goes, another comes, the release key changes."""
    first = trust_of(owner=role(2, ANNA, BERTA, CLARA))
    second = trust_of(version=2, owner=role(2, BERTA, CLARA, DORA), release=role(1, NEXT_RELEASE))
    third = trust_of(
        version=3, owner=role(2, DORA, ERNA), release=role(1, NEXT_RELEASE), epochs=(("digits", 3), ("letters", 2))
    )
    one = signed(first, ANNA, CLARA)
    two = signed(second, ANNA, BERTA, DORA)
    three = signed(third, BERTA, DORA, ERNA)
    documents = tuple(map(trust_file.join, (one, two, three)))

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        for signer in (ANNA, BERTA, CLARA, DORA, ERNA, NEXT_RELEASE):
            transcript.signer(signer.label, signer)
        await bench.recorded("GET", "https://rooms.test:8443/v1/trust?from=1", b"", {})
        transcript.check("first", "trust", "device", {"trust": _document(one)})
        first_twins(transcript, one, first.to_value())
        answer = sent(transcript, -1)["answer"]
        assert answer == _chain(two, three)
        transcript.check("follow", "follow", "device", {"trust": _document(one), "answer": answer})
        new = second.to_value()
        lowered = new | {"epochs": [{"epoch": 1, "model": "digits"}]}
        everybody = (ANNA, BERTA, DORA)
        version, threshold = "trust-version", "trust-threshold"
        for name, value, expect, why in (
            ("a step left out", _chain(three), version, "3 does not follow 1"),
            ("the other way round", _chain(three, two), version, "oldest first"),
            ("the same again", _chain(one), version, "1 does not follow 1"),
            ("a step twice", _chain(two, two), version, "2 does not follow 2"),
            ("version 3 after 1", _chain(signed(new | {"version": 3}, *everybody)), version, "in steps of one"),
            ("one of the old owners", _chain(two[1:], three), threshold, "of the old ones only Berta"),
            ("one of the new owners", _chain(two[:2], three), threshold, "of the new ones only Berta"),
            ("old owners in step two", _chain(two, three[1:]), threshold, "of the old ones only Dora"),
            ("new owners in step two", _chain(two, three[:2]), threshold, "of the new ones only Dora"),
            ("an owner who left", _chain(two, signed(third, ANNA, BERTA, ERNA, DORA)[:3]), threshold, "Anna left"),
            ("a signer twice", _chain([*two, two[0]], three), "signature", "one key signs once"),
            (
                "another content beside",
                _chain([*two, signed(lowered, CLARA)[0]], three),
                "signature",
                "payloads differ",
            ),
            ("epoch lower", _chain(signed(lowered, *everybody)), version, "an epoch never goes back"),
            ("epoch left out", _chain(signed(new | {"epochs": []}, *everybody)), version, "left out is 1"),
            ("nobody signed", _chain([]), "shape", "at least one"),
            ("one letter of one owner's", _chain([*two[:2], _bent(two[2])], three), "signature", "spoils the whole"),
        ):
            transcript.twin("follow", f"answer: {name}", "answer", value, expect, why)
        add(transcript, "follow", "answer", spelled(answer))
        transcript.twin("follow", "trust: already there", "trust", _document(two), version, "2 does not follow 2")

    return record(
        "trust-chain", "Two steps: Anna goes, Dora and Erna come, the release key changes.", story, documents=documents
    )


def _bent(text: str) -> str:
    header, payload, signature = text.split(".")
    return f"{header}.{payload}.{other(signature)}"


def first_twins(transcript: Transcript, genuine: list[str], value: dict) -> None:
    """Add first documents that must not be taken."""
    mine, rest = genuine[0], genuine[1:]
    plain = (one for one in one_jws(mine, "sr-trust", ANNA) if one.name != "payload one letter")
    below = {"another key": "trust-threshold", "key id swapped": "trust-threshold"}
    judged = (one._replace(expect=below.get(one.name, "signature")) for one in plain)
    add(transcript, "first", "trust", within(lambda one: _document([one, *rest]), judged))
    wrong_keys = {
        "of low order": (hpke.X25519, bytes(32), "it agrees on all zeros with everybody"),
        "spelled twice": (hpke.X25519, (2**255 - 10).to_bytes(32, "little"), "9 + p: one key, one spelling"),
        "with its top bit set": (hpke.X25519, bytes([9]) + bytes(30) + b"\x80", "one key, one spelling"),
        "off the curve": (hpke.P256, b"\4" + bytes(64), "no point of P-256"),
        "beyond the modulus": (hpke.MLKEM768_X25519, b"\xff" * 1184 + b"\x09" + bytes(31), "FIPS 203, section 7.2"),
    }
    for name, (kem, key, why) in wrong_keys.items():
        deposit_key = [{"expires": 1, "kem": kem, "key": to_base64url(key)}]
        document = _document(signed(value | {"deposit": deposit_key}, ANNA, CLARA))
        transcript.twin("first", f"trust: signed again, deposit key {name}", "trust", document, "public-key", why)
    roles, (pin,) = value["roles"], value["pins"]
    owner = roles["owner"]
    anna = owner["principals"][0]
    short = [{"alg": "ES256", "key": "A" * 43}]
    shape = "shape"
    for name, fields, expect, why in (
        ("version 0", {"version": 0}, shape, "versions begin with 1"),
        ("http", {"server": "http://rooms.test"}, shape, "TLS and nothing below"),
        ("path in server", {"server": "https://rooms.test/x"}, shape, "host and port only"),
        ("no pins", {"pins": []}, shape, "at least one"),
        ("a host twice", {"pins": [pin, pin]}, shape, "each host once"),
        ("hosts not sorted", {"pins": [pin, pin | {"host": "a.test"}]}, shape, "sorted by host"),
        ("no order role", {"roles": {"owner": owner, "release": roles["release"]}}, shape, "a role is missing"),
        ("threshold 0", {"roles": roles | {"owner": owner | {"threshold": 0}}}, shape, "nobody would have to sign"),
        ("threshold 4", {"roles": roles | {"owner": owner | {"threshold": 4}}}, shape, "of three owners"),
        (
            "a key twice",
            {"roles": roles | {"owner": owner | {"principals": [anna, anna]}}},
            shape,
            "one key, two owners",
        ),
        (
            "key too short",
            {"roles": roles | {"order": roles["order"] | {"principals": [short]}}},
            "public-key",
            "32 bytes",
        ),
        ("unknown kem", {"kems": [0x11]}, shape, "a KEM version 1 does not have"),
        ("no suites", {"suites": []}, shape, "at least one"),
        ("epochs not sorted", {"epochs": [{"epoch": 1, "model": "b"}, {"epoch": 1, "model": "a"}]}, shape, "by model"),
        ("unknown field", {"zzz": 1}, shape, "the object is closed"),
    ):
        document = _document(signed(value | fields, ANNA, CLARA))
        transcript.twin("first", f"trust: signed again, {name}", "trust", document, expect, why)
    transcript.twin("first", "trust: below threshold", "trust", _document([mine]), "trust-threshold", "one of two")
    spaced = [misspelled(mine, "sr-trust", signer).value for signer in (ANNA, CLARA)]
    transcript.twin(
        "first", "trust: payload misspelled", "trust", _document(spaced), "json-not-canonical", "one spelling"
    )
    for one in several_jws(mine, "sr-trust", ANNA):
        transcript.twin("first", f"trust: {one.name}", "trust", _document(one.value), one.expect, one.why)
    space = _document(genuine).replace(",", ", ", 1)
    transcript.twin("first", "trust: a space", "trust", space, "json-not-canonical", "one spelling")


def hybrid() -> Transcript:
    """Follow one step between owners of two keys each."""
    first = trust_of(owner=role(1, HYBRID))
    second = trust_of(version=2, owner=role(1, NEW_HYBRID))
    one, two = signed(first, *HYBRID), signed(second, *HYBRID, *NEW_HYBRID)
    documents = tuple(map(trust_file.join, (one, two)))

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        for signer in (*HYBRID, *NEW_HYBRID, ANNA, ANNA_CHIP):
            transcript.signer(signer.label, signer)
        await bench.recorded("GET", "https://rooms.test:8443/v1/trust?from=1", b"", {})
        answer = sent(transcript, -1)["answer"]
        transcript.check("follow", "follow", "device", {"trust": _document(one), "answer": answer})
        threshold = "trust-threshold"
        for name, signatures, expect, why in (
            ("old without ML-DSA-65", [two[0], *two[2:]], threshold, "both keys of a principal or none"),
            ("old without Ed25519", two[1:], threshold, "both keys of a principal or none"),
            ("new without ML-DSA-65", two[:3], threshold, "both keys of a principal or none"),
            ("ML-DSA-65 of the old, one letter", [two[0], _bent(two[1]), *two[2:]], "signature", "does not verify"),
            ("ML-DSA-65 of the new, one letter", [*two[:3], _bent(two[3])], "signature", "does not verify"),
            ("Ed25519 of the old, one letter", [_bent(two[0]), *two[1:]], "signature", "does not verify"),
        ):
            transcript.twin("follow", f"answer: {name}", "answer", _chain(signatures), expect, why)
        both = signed(trust_of(owner=role(1, (ANNA, ANNA_CHIP))), ANNA, ANNA_CHIP)
        transcript.check("two keys of old", "trust", "device", {"trust": _document(both)})
        for name, signatures in (("only Ed25519", both[:1]), ("only ES256", both[1:])):
            given = _document(signatures)
            transcript.twin("two keys of old", f"trust: {name}", "trust", given, threshold, "both keys or none")
        bent = _document([both[0], _bent(both[1])])
        transcript.twin("two keys of old", "trust: ES256, one letter", "trust", bent, "signature", "does not verify")
        half = _document(one[:1])
        transcript.twin("follow", "trust: one half", "trust", half, threshold, "both keys of a principal or none")

    comment = "One step; each owner is a principal of an Ed25519 and an ML-DSA-65 key."
    return record("trust-hybrid", comment, story, documents=documents)


def deposit() -> Transcript:
    """Bring a key to the office."""

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        bench.keeps_desk = True
        transcript.recipient("deposit", DEPOSIT.kem, DEPOSIT.seed)
        transcript.sender(DEPOSIT.kem, "deposit")
        made = bench.seal("digits", "1.0", 7)
        body = await bench.deposit_of(made)
        await bench.ask("POST", "/v1/deposits", body)
        assert sent(transcript, -1)["status"] == 201
        context = decode(sent(transcript, 0)["answer"].encode(), limit=65_536)
        inputs = {
            "deposit": {"kem": DEPOSIT.kem, "seed": to_base64url(DEPOSIT.seed)},
            "sealed": body["files"][0]["sealed"],
            "account": "",
            "publisher": context["publisher"],
            "model": "digits",
            "version": "1.0",
            "file_id": to_base64url(made.head.core.file_id),
            "head": to_base64url(made.head.digest),
        }
        transcript.check("deposit", "deposit", "office", inputs)
        for name in ("account", "publisher", "model", "version", "file_id", "head"):
            value = "x" + inputs[name] if name not in {"file_id", "head"} else other(inputs[name])
            transcript.twin("deposit", name, name, value, "sealed-key", f"sealed for another {name}")
        data = from_base64url(inputs["sealed"])
        for name, at in (("enc", 1), ("ciphertext", 33), ("tag", 79)):
            bent = bytes(b ^ (n == at) for n, b in enumerate(data))
            transcript.twin(
                "deposit", f"sealed: {name}, one bit", "sealed", to_base64url(bent), "sealed-key", "altered"
            )
        transcript.twin("deposit", "sealed: cut", "sealed", to_base64url(data[:-1]), "sealed-key", "one byte short")
        transcript.twin("deposit", "sealed: nothing", "sealed", "", "sealed-key", "no byte at all")
        moved = {"model": "1.0", "version": "digits"}
        moved_info = hpke.deposit_info(
            "", inputs["publisher"], *moved.values(), made.head.core.file_id, made.head.digest
        )
        swapped = seal("deposit swapped", DEPOSIT.kem, DEPOSIT.public, moved_info, made.key.reveal())
        transcript.twin(
            "deposit", "sealed: names swapped", "sealed", to_base64url(swapped), "sealed-key", "lengths count"
        )
        info = hpke.deposit_info("", inputs["publisher"], "digits", "1.0", made.head.core.file_id, made.head.digest)
        as_release = seal(
            "deposit label", DEPOSIT.kem, DEPOSIT.public, info.replace(b"deposit", b"release"), made.key.reveal()
        )
        transcript.twin("deposit", "sealed: label", "sealed", to_base64url(as_release), "sealed-key", "another purpose")
        seed = {"kem": DEPOSIT.kem, "seed": to_base64url(seed_of(DEPOSIT.kem, "stranger"))}
        transcript.twin("deposit", "another deposit key", "deposit", seed, "sealed-key", "sealed to another key")

    return record("deposit", "A publisher asks whom to seal to, and brings a model's key.", story)


def stories() -> list[Transcript]:
    """Return every transcript of this module."""
    return [chain(), hybrid(), deposit()]
