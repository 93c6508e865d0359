"""Transcripts of what comes after a release: renewals, wipe orders, receipts, refusals."""

from collections.abc import Iterator

from strongroom.canonical import decode, encode, from_base64url
from strongroom.signing import ED25519
from strongroom.wire import hpke
from strongroom.wire.messages import Lease
from vectors.transcript_bending import (
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
from vectors.transcript_keys import ephemeral, seed_of
from vectors.transcript_proofs import STRANGER, add, enrolled, known_of, proof_twins, sent
from vectors.transcript_scene import ORDER, RELEASE, FixedBench, FixedDevice, Transcript, record

DAY = 86_400


def _signed(one: str | list[str]) -> str:
    return encode([one] if isinstance(one, str) else one).decode()


def _answer(one: str | list[str]) -> str:
    return encode({"renewal": [one] if isinstance(one, str) else one}).decode()


def _as_field(bent: Iterator[Bent]) -> Iterator[Bent]:
    """Where a message has a field of JWS, what is not three parts is no JWS for its shape already."""
    return (one._replace(expect="shape" if "parts" in one.name else one.expect) for one in bent)


async def leased(bench: FixedBench, device: FixedDevice) -> tuple[Lease, str]:
    """Get a release; return its lease, read and as the device keeps it."""
    key = ephemeral(hpke.X25519, seed_of(hpke.X25519, "ephemeral"))
    lease = await device.leased(ephemeral=key)
    grant = payload_of(decode(sent(bench.transcript, -1)["answer"].encode(), limit=1_048_576)["grant"][0])
    return lease, _signed(grant["lease"])


def renewal_check(transcript: Transcript, device: FixedDevice, held: str) -> str:
    """Add the device's check of the renewal that just came, and its twins; return its JWS."""
    exchange = sent(transcript, -1)
    inputs = {"trust": device.bench.document.decode(), "request": exchange["body"], "answer": exchange["answer"]}
    inputs |= {"at": exchange["at"], "held": held} | known_of(device)
    transcript.check("renewal", "renewal", "device", inputs)
    (jws,) = decode(exchange["answer"].encode(), limit=1_048_576)["renewal"]
    renewal = payload_of(jws)
    mine = "grant-mismatch"
    changes = {
        "request": ({"request": other(renewal["request"])}, mine, "answers another request"),
        "challenge": ({"challenge": other(renewal["challenge"])}, mine, "answers another challenge"),
        "account": ({"account": another(renewal["account"])}, mine, "for another account"),
        "device": ({"device": another(renewal["device"])}, mine, "for another device"),
        "lease_id": ({"lease_id": another(renewal["lease_id"])}, mine, "for another lease"),
        "model": ({"model": "digit"}, mine, "for another model"),
        "version": ({"version": "1.1"}, mine, "for another version"),
        "unknown field": ({"sealed": "A" * 43}, "shape", "no key comes with a renewal"),
        "no orders": ({"orders": ...}, "shape", "a field is missing"),
    }
    bent = (*resigned(jws, "sr-renewal", RELEASE, changes), misspelled(jws, "sr-renewal", RELEASE))
    add(transcript, "renewal", "answer", within(_answer, iter(bent)))
    plain = (*one_jws(jws, "sr-renewal", RELEASE), *several_jws(jws, "sr-renewal", RELEASE))
    add(transcript, "renewal", "answer", within(_answer, iter(plain)))
    grant = Bent("a grant", sign("sr-grant", from_base64url(jws.split(".")[1]), RELEASE), "signature", "another type")
    add(transcript, "renewal", "answer", within(_answer, iter([grant])))
    add(transcript, "renewal", "answer", spelled(inputs["answer"]))
    transcript.twin("renewal", "account", "account", another(device.account), mine, "of another account")
    return jws


def renewal() -> Transcript:
    """Renew a lease half way to its end, and open the model under the new one."""

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        await bench.publish(counter=7)
        device = await enrolled(bench, ED25519, "digits")
        lease, held = await leased(bench, device)
        bench.clock.advance(2 * DAY)
        await device.try_renew(lease)
        jws = renewal_check(transcript, device, held)
        exchange = sent(transcript, -1)
        asked = {"purpose": "renew", "body": exchange["body"], "url": exchange["url"], "token": device.token}
        known = known_of(device) | {"model": "digits", "version": "1.0"}
        transcript.check("proof", "proof", "office", asked | known)
        changed = {"selector": {"version": "1.0"}, "signals": {"signals": {"x": 1}}}
        proof_twins(transcript, "proof", device.key, changed)
        expires = payload_of(decode(bench.document, limit=65_536)[0])["expires"]
        transcript.twin("renewal", "at", "at", expires, "trust-expired", "no new lease under a trust that is over")
        stranger = STRANGER.public.to_value()
        transcript.twin("renewal", "device_key", "device_key", stranger, "lease-mismatch", "the lease is another key's")
        payload = payload_of(jws)
        (lease_jws,) = payload["lease"]
        new = payload_of(lease_jws)
        wrong = {
            name: ({name: value}, "lease-mismatch", f"a lease for another {name}")
            for name, value in (
                ("request", other(new["request"])),
                ("challenge", other(new["challenge"])),
                ("lease_id", another(new["lease_id"])),
                ("device", other(new["device"])),
                ("version", "1.1"),
                ("files", [other(new["files"][0])]),
            )
        }

        def carried(one: str) -> str:
            return _answer(sign("sr-renewal", encode(payload | {"lease": [one]}), RELEASE))

        named = (one._replace(name=f"lease, {one.name}") for one in resigned(lease_jws, "sr-lease", RELEASE, wrong))
        add(transcript, "renewal", "answer", within(carried, named))
        lease_check(transcript, device, _signed(lease_jws), new)

    return record("renewal", "A lease two days old is renewed; the device opens the model under the new one.", story)


def lease_check(transcript: Transcript, device: FixedDevice, text: str, lease: dict) -> None:
    """Add a device's opening under a lease, and what must not open."""
    known = {name: item for name, item in known_of(device).items() if name != "device"}
    inputs = {"trust": device.bench.document.decode(), "lease": text, "at": lease["issued"] + DAY}
    named = {"model": lease["model"], "version": lease["version"], "files": lease["files"]}
    transcript.check("open", "lease", "device", inputs | known | named)
    (jws,) = decode(text.encode(), limit=65_536)
    changes = {
        name: ({name: value}, "lease-mismatch", f"a lease for another {name}")
        for name, value in (
            ("device", other(lease["device"])),
            ("account", another(lease["account"])),
            ("model", "digit"),
            ("version", "1.1"),
            ("files", [*lease["files"], *lease["files"]]),
        )
    } | {
        "expires": ({"expires": inputs["at"]}, "lease-expired", "over in this second"),
        "max_offline": ({"max_offline": DAY}, "lease-expired", "the last contact is too long ago"),
        "ends before it begins": ({"expires": lease["issued"] - 1}, "lease-mismatch", "it was never good"),
        "unknown field": ({"zzz": 1}, "shape", "the object is closed"),
    }
    bent = (*resigned(jws, "sr-lease", RELEASE, changes), misspelled(jws, "sr-lease", RELEASE))
    plain = (*_as_field(one_jws(jws, "sr-lease", RELEASE)), *several_jws(jws, "sr-lease", RELEASE))
    add(transcript, "open", "lease", within(_signed, (*bent, *plain)))
    offline = lease["issued"] + lease["max_offline"]
    for given, value, expect, why in (
        ("at", offline, "lease-expired", "the first second that is too late: max_offline after the last contact"),
        ("device_key", STRANGER.public.to_value(), "lease-mismatch", "copied to another device"),
        ("account", another(known["account"]), "lease-mismatch", "another account"),
        ("model", "digit", "lease-mismatch", "another model"),
        ("version", "1.1", "lease-mismatch", "another version"),
        ("files", [other(lease["files"][0])], "lease-mismatch", "another file in its place"),
    ):
        transcript.twin("open", given, given, value, expect, why)


def wipe() -> Transcript:
    """Renew, get an order instead of a lease, and report that it was carried out."""

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        await bench.publish(counter=7)
        device = await enrolled(bench, ED25519, "digits")
        lease, held = await leased(bench, device)
        bench.clock.advance(DAY)
        await bench.wipe(device)
        (order,) = await device.ordered(lease)
        jws = renewal_check(transcript, device, held)
        answered = sent(transcript, -1)
        await device.try_receipt(order.order_id, device.receipt(order))
        (text,) = payload_of(jws)["orders"]
        order_check(transcript, device, text, answered["at"])
        receipt_check(transcript, device, order.to_bytes().decode())
        said = sent(transcript, -1)["answer"]
        transcript.check("received", "message", "device", {"message": "ReceiptAnswer", "body": said})
        add(transcript, "received", "body", spelled(said))

    comment = "An order comes in place of a lease; the device wipes and reports. Of the wiping itself nothing travels."
    return record("order-and-receipt", comment, story)


def order_check(transcript: Transcript, device: FixedDevice, signed: list[str], at: int) -> None:
    """Add the device's check of an order, and orders that must not be carried out."""
    inputs = {"trust": device.bench.document.decode(), "order": _signed(signed), "at": at}
    transcript.check("order", "order", "device", inputs | {"device_key": device.key.public.to_value()})
    (jws,) = signed
    order = payload_of(jws)
    changes = {
        "device": ({"device": other(order["device"])}, "order-mismatch", "for another device"),
        "expires": ({"expires": at}, "order-expired", "over when the answer was made"),
        "unknown field": ({"all": True}, "shape", "the object is closed"),
        "no file": ({"file_id": ...}, "shape", "a field is missing"),
        "every version": ({"version": "*"}, "shape", "no version name"),
    }
    bent = (*resigned(jws, "sr-order", ORDER, changes), misspelled(jws, "sr-order", ORDER))
    by_release = Bent(
        "the release role",
        sign("sr-order", from_base64url(jws.split(".")[1]), RELEASE),
        "signature",
        "grants, not orders",
    )
    plain = (*_as_field(one_jws(jws, "sr-order", ORDER)), *several_jws(jws, "sr-order", ORDER), by_release)
    add(transcript, "order", "order", within(_signed, (*bent, *plain)))
    transcript.twin("order", "at", "at", order["expires"], "order-expired", "the first second that is too late")
    stranger = STRANGER.public.to_value()
    transcript.twin("order", "device_key", "device_key", stranger, "order-mismatch", "it reached another device")


def receipt_check(transcript: Transcript, device: FixedDevice, order: str) -> None:
    """Add the office's check of a receipt, and receipts it must not write down."""
    body = sent(transcript, -1)["body"]
    inputs = {"body": body, "order": order, "device_key": device.key.public.to_value()}
    transcript.check("receipt", "receipt", "office", inputs)
    jws = decode(body.encode(), limit=65_536)["receipt"]
    receipt = payload_of(jws)
    changes = {
        "order_id": ({"order_id": another(receipt["order_id"])}, "receipt", "names another order"),
        "order": ({"order": other(receipt["order"])}, "receipt", "another order under this id"),
        "device": ({"device": other(receipt["device"])}, "receipt", "names another device"),
        "outcome": ({"outcome": "kept"}, "receipt", "an outcome that does not exist"),
    }
    space = misspelled(jws, "sr-receipt", device.key)._replace(expect="receipt")
    plain = (one for one in one_jws(jws, "sr-receipt", device.key, "receipt") if "parts" not in one.name)

    def carried(one: str) -> str:
        return encode({"receipt": one}).decode()

    add(
        transcript,
        "receipt",
        "body",
        within(carried, (*resigned(jws, "sr-receipt", device.key, changes), space, *plain)),
    )
    add(transcript, "receipt", "body", spelled(body))
    changed = encode(decode(order.encode(), limit=65_536) | {"version": "1.1"}).decode()
    transcript.twin("receipt", "order", "order", changed, "receipt", "a receipt of another order")
    stranger = STRANGER.public.to_value()
    transcript.twin("receipt", "device_key", "device_key", stranger, "receipt", "signed by another device")


def refusals() -> Transcript:
    """Be refused, for four reasons and in one form."""

    async def story(bench: FixedBench) -> None:
        transcript = bench.transcript
        await bench.publish(counter=7)
        device = await enrolled(bench, ED25519, "digits")
        key = ephemeral(hpke.X25519, seed_of(hpke.X25519, "ephemeral"))
        request, _ = await device.release_request(ephemeral=key)
        await device.try_release(request)
        await device.try_release(request)
        problem(transcript, "challenge again", "challenge")
        request, _ = await device.release_request(model="letters", ephemeral=key)
        await device.try_release(request)
        problem(transcript, "not yours or not there", "not-found")
        await device.try_renew(await _stranger_lease(device))
        problem(transcript, "no such lease", "not-found")
        await bench.wipe(device)
        request, _ = await device.release_request(ephemeral=key)
        await device.try_release(request)
        problem(transcript, "an order waits", "order-pending")
        await device.send("/v1/challenges", b'{"purpose": "release"}')
        problem(transcript, "misspelled", "json-not-canonical")
        body = sent(transcript, -1)["answer"]
        for name, value, expect, why in (
            ("unknown code", body.replace('not-canonical"', 'canonical"'), "argument", "the status speaks then: 400"),
            ("no JSON", "<Error/>", "argument", "other makes of stores answer so"),
            ("an array", "[1]", "argument", "not an object"),
            (
                "code of another family",
                body.replace('"json-not-canonical"', '"database"'),
                "argument",
                "503, but told 400",
            ),
            (
                "code of a device",
                body.replace('"json-not-canonical"', '"grant-frozen"'),
                "argument",
                "no server says this",
            ),
            ("code as a number", body.replace('"json-not-canonical"', "7"), "argument", "a code is a word"),
        ):
            transcript.twin("misspelled", f"body: {name}", "body", value, expect, why)
        for status, expect in ((200, "answer"), (302, "answer"), (500, "unreachable"), (600, "answer")):
            transcript.twin(
                "misspelled", f"status {status}", "status", status, expect, "the family is that of the status"
            )
        asked = {"status": 404, "body": body}
        transcript.check("a code beats a status below 500", "problem", "device", asked, "json-not-canonical")
        hidden = body.replace('"json-not-canonical"', '"hidden"')
        for status, expect in (
            (401, "unauthenticated"),
            (403, "forbidden"),
            (404, "not-found"),
            (409, "conflict"),
            (413, "too-large"),
            (414, "too-large"),
            (431, "too-large"),
            (416, "range"),
            (418, "argument"),
            (503, "unreachable"),
        ):
            name = f"unknown code, status {status}"
            transcript.check(name, "problem", "device", {"status": status, "body": hidden}, expect)
            transcript.twin(name, "status 399", "status", 399, "answer", "no refusal at all")

    return record("refusals", "Problem bodies, and what a device makes of them.", story)


async def _stranger_lease(device: FixedDevice) -> Lease:
    whole = {name: bytes(32) for name in ("device", "request", "challenge")} | {"files": (bytes(64),)}
    times = {"issued": 0, "expires": 0, "max_offline": 0}
    return Lease(lease_id="lse_" + "A" * 22, account=device.account, model="digits", version="1.0", **whole, **times)


def problem(transcript: Transcript, name: str, code: str) -> None:
    """Add what a device makes of the refusal that just came."""
    exchange = sent(transcript, -1)
    transcript.check(name, "problem", "device", {"status": exchange["status"], "body": exchange["answer"]}, code)
    if name != "misspelled":
        transcript.twin(name, "status 500", "status", 500, "unreachable", "a failing server's word for it")


def stories() -> list[Transcript]:
    """Return every transcript of this module."""
    return [renewal(), wipe(), refusals()]
