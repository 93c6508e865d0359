"""Transcripts of enrolment, and what every request of a device proves: DPoP and `sr-proof`, right and bent."""

from collections.abc import Iterator

from protocol_client import DEVICES
from strongroom.canonical import decode, encode, from_base64url
from strongroom.signing import ED25519, ES256
from strongroom.wire import dpop
from vectors.transcript_bending import (
    Bent,
    another,
    misspelled,
    one_jws,
    other,
    payload_of,
    resigned,
    sign_raw,
    spelled,
    within,
)
from vectors.transcript_keys import FixedSigner
from vectors.transcript_scene import FixedBench, FixedDevice, Transcript, record

STRANGER = FixedSigner("another device")


def add(transcript: Transcript, of: str, given: str, bent: Iterator[Bent]) -> None:
    """Add a twin for each wrong value of one input."""
    for one in bent:
        transcript.twin(of, f"{given}: {one.name}", given, one.value, one.expect, one.why)


def sent(transcript: Transcript, index: int) -> dict:
    """Return what went over the wire."""
    return transcript.exchanges[index]


async def enrolled(bench: FixedBench, alg: str = ES256, *models: str) -> FixedDevice:
    """Add a customer and a device of it, with its token."""
    device = FixedDevice(bench, await bench.customer("ada", *models), alg)
    await device.enrol()
    return device


def known_of(device: FixedDevice) -> dict:
    """What a device knows of itself."""
    return {"account": device.account, "device": device.id, "device_key": device.key.public.to_value()}


def check_dpop(transcript: Transcript, name: str, exchange: dict, jkt: str | None) -> None:
    """Add the office's check of one request's DPoP proof."""
    token = exchange["authorization"].split(" ")[1]
    inputs = {"proof": exchange["dpop"], "method": "POST", "url": exchange["url"], "token": token}
    transcript.check(name, "dpop", "office", inputs | {"now": exchange["at"], "seen": [], "jkt": jkt})


def dpop_twins(transcript: Transcript, name: str, key: FixedSigner) -> None:
    """Add what can be wrong with a DPoP proof."""
    given = transcript.checks[name]["inputs"]
    proof = given["proof"]
    header, payload, _ = (from_base64url(one) for one in proof.split("."))
    fields, jwk = decode(payload, limit=4096), decode(header, limit=4096)

    def made(changes: dict, **head) -> str:
        value = {name: item for name, item in (fields | changes).items() if item is not ...}
        return sign_raw(encode(jwk | head), encode(value), key)

    for what, value, why in (
        ("htu", made({"htu": DEVICES + "/v1/devices/"}), "made for another URL"),
        ("htm", made({"htm": "PUT"}), "made for another method"),
        ("ath", made({"ath": other(fields["ath"])}), "made for another token"),
        ("no ath", made({"ath": ...}), "there is always a token"),
        ("too old", made({"iat": given["now"] - 61}), "more than 60 s old"),
        ("from the future", made({"iat": given["now"] + 61}), "more than 60 s ahead"),
        ("jti too short", made({"jti": fields["jti"][:21]}), "fewer than 16 bytes"),
        ("extra claim", made({"nonce": "x"}), "the payload is closed"),
        ("typ", made({}, typ="jwt"), "another kind of JWT"),
        ("alg", made({}, alg="ES384"), "an algorithm that is not known"),
        ("extra header field", made({}, kid="x"), "the header is closed"),
        ("another key in jwk", made({}, jwk=dpop._jwk(STRANGER_OF[key.alg].public)), "not the key that signed"),
        ("payload spelled with a space", sign_raw(header, payload.replace(b":", b": ", 1), key), "one spelling"),
        ("signature one letter", ".".join((*proof.split(".")[:2], other(proof.split(".")[2]))), "does not verify"),
    ):
        transcript.twin(name, f"proof: {what}", "proof", value, "proof", why)
    transcript.twin(name, "used before", "seen", [fields["jti"]], "proof", "each proof counts once")
    transcript.twin(name, "method of the request", "method", "PUT", "proof", "the proof came with another request")
    transcript.twin(
        name, "url of the request", "url", given["url"] + "x", "proof", "the proof came with another request"
    )
    transcript.twin(name, "token of the request", "token", given["token"] + "A", "proof", "`ath` is another token's")
    if given["jkt"] is not None:
        transcript.twin(
            name, "token of another key", "jkt", other(given["jkt"]), "token", "a stolen token, the thief's key"
        )


STRANGER_OF = {ES256: FixedSigner("another ES256", ES256), ED25519: STRANGER}


def proof_twins(transcript: Transcript, name: str, key: FixedSigner, changes: dict[str, dict]) -> None:
    """Add what can be wrong with an `sr-proof`: of the JWS, of the request it is for, of what the office knows."""
    given = transcript.checks[name]["inputs"]
    body = decode(given["body"].encode(), limit=1_048_576)

    def carried(proof: str) -> str:
        return encode(body | {"proof": proof}).decode()

    bent = (
        one for one in one_jws(body["proof"], "sr-proof", key, "proof") if one.name not in {"two parts", "four parts"}
    )
    add(transcript, name, "body", within(carried, bent))
    changed = {
        field: ({field: other(payload_of(body["proof"])[field])}, "proof", f"signed over another {field}")
        for field in ("binding", "body", "token")
    } | {"url": ({"url": given["url"] + "/"}, "proof", "signed over another URL")}
    resign = resigned(body["proof"], "sr-proof", key, changed)
    space = misspelled(body["proof"], "sr-proof", key)._replace(expect="proof")
    add(transcript, name, "body", within(carried, (*resign, space)))
    for field, change in changes.items():
        transcript.twin(
            name, f"body: {field}", "body", encode(body | change).decode(), "proof", "changed after signing"
        )
    transcript.twin(name, "url", "url", given["url"].replace("rooms", "roams"), "proof", "an office of another name")
    transcript.twin(name, "token", "token", given["token"] + "A", "proof", "proved for another token")
    for field in ("account", "device", "model", "version"):
        if given[field]:
            wrong = another(given[field])
            transcript.twin(name, field, field, wrong, "proof", f"the office's own record has another {field}")
    stranger = STRANGER_OF[key.alg].public.to_value()
    transcript.twin(name, "device key", "device_key", stranger, "proof", "the office's own record has another key")


def enrol(alg: str) -> Transcript:
    """Enrol with a device key of one algorithm."""
    word = alg.lower()

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        device = await enrolled(bench, alg)
        challenge, devices = sent(transcript, 0), sent(transcript, 1)
        check_dpop(transcript, "dpop", devices, None)
        dpop_twins(transcript, "dpop", device.key)
        known = {"account": "", "device": "", "model": "", "version": "", "device_key": device.key.public.to_value()}
        proved = {"purpose": "enrol", "body": devices["body"], "url": devices["url"], "token": device.user_token}
        transcript.check("proof", "proof", "office", proved | known)
        facts = decode(devices["body"].encode(), limit=65_536)["device"]
        changed = {"os": {"device": facts | {"os": "Debian 13"}}, "platform": {"device": facts | {"platform": "macos"}}}
        proof_twins(transcript, "proof", device.key, changed)
        for name, message, exchange in (
            ("challenge", "ChallengeAnswer", challenge),
            ("enrolled", "EnrolAnswer", devices),
        ):
            transcript.check(name, "message", "device", {"message": message, "body": exchange["answer"]})
            add(transcript, name, "body", spelled(exchange["answer"]))

    return record(
        f"enrol-{word}", f"A user's token, a device key of {alg}: an identity and a token bound to the key.", story
    )


def stories() -> list[Transcript]:
    """Return every transcript of this module."""
    return [enrol(ES256), enrol(ED25519)]
