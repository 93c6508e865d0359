"""Transcripts of release: what a device sends, what it gets, and what it must not take."""

from strongroom.canonical import decode, encode, from_base64url, to_base64url
from strongroom.signing import ED25519, ES256
from strongroom.wire import dpop, hpke, jws
from strongroom.wire import trust as trust_file
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Grant, Have, ReleaseAnswer, ReleaseRequest
from vectors.transcript_bending import (
    OTHER,
    Bent,
    another,
    misspelled,
    one_jws,
    other,
    payload_of,
    resigned,
    several_jws,
    sign,
    spelled,
    within,
)
from vectors.transcript_keys import ephemeral, seal, seed_of, thumbprint
from vectors.transcript_proofs import (
    STRANGER_OF,
    add,
    check_dpop,
    dpop_twins,
    enrolled,
    known_of,
    proof_twins,
    sent,
)
from vectors.transcript_scene import ORDER, OWNER, RELEASE, FixedBench, FixedDevice, Transcript, record


def grant_check(transcript: Transcript, device: FixedDevice, exchange: dict, kem: int, **known: object) -> dict:
    """Add the device's check of a release."""
    inputs = {
        "trust": device.bench.document.decode(),
        "request": exchange["body"],
        "answer": exchange["answer"],
        "at": exchange["at"],
        "high_water": None,
        "ephemeral": {"kem": kem, "seed": to_base64url(seed_of(kem, "ephemeral"))},
        **known_of(device),
        **known,
    }
    transcript.check("grant", "grant", "device", inputs)
    transcript.recipient("ephemeral", kem, seed_of(kem, "ephemeral"))
    return inputs


def release(kem: int, alg: str = ES256) -> Transcript:
    """Release to an ephemeral key of one KEM."""
    word = hpke.KEMS[kem].lower().replace("_", "-")

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        await bench.publish(counter=7)
        device = await enrolled(bench, alg, "digits")
        request, _ = await device.release_request(ephemeral=ephemeral(kem, seed_of(kem, "ephemeral")))
        await device.try_release(request)
        exchange = sent(transcript, -1)
        transcript.sender(kem)
        inputs = grant_check(transcript, device, exchange, kem, high_water=[2, 7])
        sealed_twins(transcript, device, request, kem)
        if kem != hpke.X25519:
            return
        check_dpop(transcript, "dpop", exchange, dpop.jkt(device.key.public))
        dpop_twins(transcript, "dpop", device.key)
        asked = {"purpose": "release", "body": exchange["body"], "url": exchange["url"], "token": device.token}
        transcript.check(
            "proof", "proof", "office", asked | known_of(device) | {"model": "digits", "version": "@stable"}
        )
        changed = {"kem": {"kem": 16}, "key": {"public_key": other(to_base64url(request.public_key))}}
        proof_twins(
            transcript, "proof", device.key, changed | {"have": {"have": {"version": "1", "file_id": "A" * 43}}}
        )
        grant_twins(transcript, inputs)

    comment = f"The newest of a channel, its key sealed to an ephemeral key of {hpke.KEMS[kem]}."
    return record(f"release-{word}", comment, story)


def sealed_twins(transcript: Transcript, device: FixedDevice, request: ReleaseRequest, kem: int) -> None:
    """Add sealed keys that must not open, in a grant that is right in all else."""
    given = transcript.checks["grant"]["inputs"]
    grant = Grant.from_bytes(from_base64url(ReleaseAnswer.from_bytes(given["answer"].encode()).grant[0].split(".")[1]))
    bound = Binding(
        "release",
        request.challenge,
        kem,
        request.public_key,
        device.account,
        device.id or "",
        thumbprint(device.key.public),
        "linux",
        "digits",
        "@stable",
    )
    info, plain = hpke.release_info(bound.digest(), grant), b"M" * 32
    cut, end = hpke.ENC_SIZES[kem], len(grant.sealed or b"")
    bits = {"enc": 1, "ciphertext": cut + 1, "tag": end - 1}
    altered = {name: bytes(b ^ (n == at) for n, b in enumerate(grant.sealed or b"")) for name, at in bits.items()}
    wrong = {
        "label of the info": b"strongroom/release/v2\0" + info[22:],
        "binding in the info": info[:22] + bytes(32) + info[54:],
        "grant in the info": info[:-32] + bytes(32),
        "no info": b"",
    }
    public = request.public_key
    another = hpke.X25519 if kem != hpke.X25519 else hpke.P256
    stranger = hpke.DepositKey.from_seed(another, seed_of(another, "ephemeral")).public
    made = {f"{name}, one bit": data for name, data in altered.items()}
    made |= {name: seal(f"{transcript.name} {name}", kem, public, one, plain) for name, one in wrong.items()}
    made["another kem"] = seal(f"{transcript.name} kem", another, stranger, info, plain)
    made["33 bytes of key"] = seal(f"{transcript.name} long", kem, public, info, plain + b"M")
    made["another key"] = seal(
        f"{transcript.name} other", kem, hpke.DepositKey.from_seed(kem, seed_of(kem, "stranger")).public, info, plain
    )
    changes = {
        f"sealed: {n}": ({"sealed": to_base64url(one)}, "sealed-key", "it does not open") for n, one in made.items()
    }
    changes["a later link"] = ({"urls_expire": grant.urls_expire + 1}, "sealed-key", "the info covers every field")
    changes["a word to act on"] = ({"reactions": ["wipe"]}, "sealed-key", "the info covers every field")
    add(transcript, "grant", "answer", within(_answer, resigned(_jws(given["answer"]), "sr-grant", RELEASE, changes)))
    seed = {"kem": kem, "seed": to_base64url(seed_of(kem, "stranger"))}
    transcript.twin("grant", "another ephemeral key", "ephemeral", seed, "sealed-key", "sealed to another key")


def _jws(answer: str) -> str:
    return ReleaseAnswer.from_bytes(answer.encode()).grant[0]


def _answer(grant: str | list[str]) -> str:
    return encode({"grant": [grant] if isinstance(grant, str) else grant}).decode()


def grant_twins(transcript: Transcript, given: dict) -> None:
    """Add what a device must refuse of a grant before it opens anything."""
    answer, at = given["answer"], given["at"]
    jws_text = _jws(answer)
    grant = payload_of(jws_text)
    (file,), latest = grant["files"], grant["latest"]
    mine, old = "grant-mismatch", "grant-rollback"
    kind = {"kind": "local"}
    changes = {
        "request": ({"request": other(grant["request"])}, mine, "answers another request"),
        "challenge": ({"challenge": other(grant["challenge"])}, mine, "answers another challenge"),
        "account": ({"account": another(grant["account"])}, mine, "for another account"),
        "device": ({"device": another(grant["device"])}, mine, "for another device"),
        "model": ({"model": "digit"}, mine, "for another model"),
        "file twice": ({"files": [file, file]}, mine, "a file twice"),
        "kind": ({"files": [file | kind]}, mine, "a kind of file that never travels"),
        "suite": ({"files": [file | {"suite": 2}]}, mine, "a suite that trust.json does not allow"),
        "epoch above": ({"epoch": 3}, mine, "an epoch the owners have not set"),
        "epoch below": ({"epoch": 1}, old, "an epoch the owners have ended"),
        "counter below the mark": ({"counter": 6, "latest": latest | {"counter": 6}}, old, "older than what was here"),
        "latest expired": ({"latest": latest | {"expires": at}}, "grant-frozen", "what it says of the newest is over"),
        "latest of another version": ({"latest": latest | {"version": "1.1"}}, old, "not the newest of the channel"),
        "latest of another counter": ({"latest": latest | {"counter": 8}}, old, "not the newest of the channel"),
        "version": ({"version": "0.9"}, old, "not the newest of the channel"),
        "no keys": ({"sealed": ...}, mine, "the request did not say that this version is here"),
        "unknown field": ({"zzz": 1}, "shape", "the object is closed"),
        "no server_time": ({"server_time": ...}, "shape", "a field is missing"),
        "epoch as text": ({"epoch": "2"}, "shape", "a text is no integer"),
        "counter 0": ({"counter": 0}, "shape", "counters begin with 1"),
        "sealed null": ({"sealed": None}, "shape", "a field that may be absent is never null"),
    }
    add(transcript, "grant", "answer", within(_answer, resigned(jws_text, "sr-grant", RELEASE, changes)))
    bent = (*one_jws(jws_text, "sr-grant", RELEASE), *several_jws(jws_text, "sr-grant", RELEASE))
    by_order = sign("sr-grant", from_base64url(jws_text.split(".")[1]), ORDER)
    role = Bent("the order role", by_order, "signature", "a key of another role")
    space = misspelled(jws_text, "sr-grant", RELEASE)
    add(transcript, "grant", "answer", within(_answer, (*bent, role, space)))
    add(transcript, "grant", "answer", spelled(answer))
    none = (Bent("no signature", [], "shape", "none"), Bent("9 signatures", [jws_text] * 9, "shape", "more than 8"))
    add(transcript, "grant", "answer", within(_answer, iter(none)))
    lease_in_grant_twins(transcript, grant, jws_text)
    for name, value, expect, why in (
        (
            "at",
            payload_of(decode(given["trust"].encode(), limit=65_536)[0])["expires"],
            "trust-expired",
            "trust is over",
        ),
        ("account", another(given["account"]), mine, "this device is another account's"),
        ("device", another(given["device"]), mine, "this is another device"),
        ("device_key", STRANGER_OF[ES256].public.to_value(), "lease-mismatch", "the lease is for another key"),
        ("high_water", [2, 8], old, "this device has had a newer one"),
        ("high_water", [3, 1], old, "this device has had a newer epoch"),
    ):
        transcript.twin("grant", f"{name} {value}" if name == "high_water" else name, name, value, expect, why)
    signed = payload_of(decode(given["trust"].encode(), limit=65_536)[0])
    signed["roles"]["release"]["principals"] = [[OTHER.public.to_value()]]
    document = trust_file.join(jws.sign("sr-trust", encode(signed), (OWNER,))).decode()
    transcript.twin("grant", "release key revoked", "trust", document, "signature", "the owners took the key back")


def lease_in_grant_twins(transcript: Transcript, grant: dict, grant_jws: str) -> None:
    """Add grants whose lease is wrong."""
    (lease_jws,) = grant["lease"]
    lease = payload_of(lease_jws)
    wrong = "lease-mismatch"
    changes = {
        name: ({name: value}, wrong, f"a lease for another {name}")
        for name, value in (
            ("request", other(lease["request"])),
            ("challenge", other(lease["challenge"])),
            ("account", another(lease["account"])),
            ("device", other(lease["device"])),
            ("model", "digit"),
            ("version", "1.1"),
            ("files", [other(lease["files"][0])]),
        )
    } | {
        "ends before it begins": ({"expires": lease["issued"] - 1}, wrong, "it was never good"),
        "over on arrival": ({"expires": lease["issued"]}, "lease-expired", "over at server_time"),
        "a year and two days": ({"max_offline": 31_622_401}, "shape", "beyond the cap"),
    }

    def carried(one: str | list[str]) -> str:
        leases = [one] if isinstance(one, str) else one
        return _answer(sign("sr-grant", encode(grant | {"lease": leases}), RELEASE))

    bent = (
        one
        for one in one_jws(lease_jws, "sr-lease", RELEASE)
        if one.name in {"signature one letter", "typ", "another key"}
    )
    found = (*resigned(lease_jws, "sr-lease", RELEASE, changes), *bent)
    named = (one._replace(name=f"lease, {one.name}") for one in found)
    add(transcript, "grant", "answer", within(carried, named))


def newest() -> Transcript:
    """Ask for what is here already: no keys come."""

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        made = await bench.publish(counter=7)
        device = await enrolled(bench, ED25519, "digits")
        key = ephemeral(hpke.X25519, seed_of(hpke.X25519, "ephemeral"))
        have = Have("1.0", made.head.core.file_id)
        request, _ = await device.release_request(ephemeral=key, have=have)
        await device.try_release(request)
        inputs = grant_check(transcript, device, sent(transcript, -1), hpke.X25519, high_water=[2, 7])
        jws_text = _jws(inputs["answer"])
        file = payload_of(jws_text)["files"][0]
        mine = "grant-mismatch"
        changes = {
            "another file": ({"files": [file | {"file_id": other(file["file_id"])}]}, mine, "not a file that is here"),
            "request": ({"request": other(payload_of(jws_text)["request"])}, mine, "answers another request"),
        }
        add(transcript, "grant", "answer", within(_answer, resigned(jws_text, "sr-grant", RELEASE, changes)))
        body = decode(inputs["request"].encode(), limit=65_536)
        unsaid = {name: item for name, item in body.items() if name != "have"}
        transcript.twin("grant", "request without have", "request", encode(unsaid).decode(), mine, "another request")

    return record("newest", 'The device has the newest version: "you have the newest", a new lease, no keys.', story)


def exact() -> Transcript:
    """Ask for an exact version that is not the newest, then for fresh links."""

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        await bench.publish(counter=7)
        await bench.publish(version="1.1", counter=8)
        device = await enrolled(bench, ED25519, "digits")
        key = ephemeral(hpke.X25519, seed_of(hpke.X25519, "ephemeral"))
        request, _ = await device.release_request(version="1.0", ephemeral=key)
        grant = device.read(await device.try_release(request), request)
        released = sent(transcript, -1)
        transcript.sender(hpke.X25519)
        inputs = grant_check(transcript, device, released, hpke.X25519)
        jws_text = _jws(inputs["answer"])
        changes = {
            "version": ({"version": "1.1"}, "grant-mismatch", "another version than the one asked for"),
            "epoch below": ({"epoch": 1}, "grant-rollback", "the owners have ended it, though nothing was here before"),
        }
        add(transcript, "grant", "answer", within(_answer, resigned(jws_text, "sr-grant", RELEASE, changes)))
        bench.clock.advance(200)
        await device.try_urls(grant.release_id, version="1.0")
        challenge, links = sent(transcript, -2), sent(transcript, -1)
        asked = {"purpose": "urls", "body": links["body"], "url": links["url"], "token": device.token}
        transcript.check(
            "links proof", "proof", "office", asked | known_of(device) | {"model": "digits", "version": "1.0"}
        )
        proof_twins(transcript, "links proof", device.key, {"seconds": {"seconds": 60}})
        given = {"grant": released["answer"], "challenge": challenge["answer"], "answer": links["answer"]}
        transcript.check("links", "urls", "device", given)
        value = decode(links["answer"].encode(), limit=65_536)
        more = encode(value | {"urls": value["urls"] * 2}).decode()
        wrong = "grant-mismatch"
        transcript.twin("links", "answer: a link too many", "answer", more, wrong, "one link a file")
        add(transcript, "links", "answer", spelled(links["answer"]))

    return record("exact-version", "An exact version though a channel moved on, and fresh links to it.", story)


def stories() -> list[Transcript]:
    """Return every transcript of this module."""
    kems = (hpke.X25519, hpke.P256, hpke.MLKEM768_X25519)
    return [*(release(kem) for kem in kems), newest(), exact()]
