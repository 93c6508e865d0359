"""Targets in the room `wire`: messages, signed values, proofs and trust.json (attacks B12, I03).

Signed things are mutated with their keys at hand and signed again, so that what stands behind the signature is reached.
"""

import dataclasses
from collections.abc import Callable, Iterator
from random import Random

from fuzz.judging import Target
from fuzz.mutation import Bytewise, Json, json_bytes, spelled
from strongroom import canonical
from strongroom.canonical import from_base64url, to_base64url
from strongroom.errors import Code, DeniedError, IntegrityError, RefusedError, StrongroomError
from strongroom.shapes import Array, Binary, Choice, Flag, Free, Integer, Nullable, Object, Shape, Text
from strongroom.signing import ED25519, ES256, Principal, Role, SigningKey
from strongroom.wire import dpop, hpke, jws, messages, trust
from strongroom.wire.messages import Message

NOW, URL, TOKEN = 1_800_000_000, "https://models.example:8443/v1/releases", "header.payload.signature"
OWNER, OTHER, STRANGER = (SigningKey(ED25519, bytes([number]) * 32) for number in (1, 2, 3))
DEVICE = SigningKey(ES256, b"d" * 32)
ROLE = Role(1, (Principal((OWNER.public,)), Principal((OTHER.public,))))
SIGNERS = {one.public.key_id: one for one in (OWNER, OTHER, STRANGER)}
TYP = "sr-fuzz"
RIGHT = ("a", "1.0", "@stable", "POST", "dev_" + "A" * 22, "e30.e30.AA", "https://models.example", "00" * 32)

TRUST = trust.Trust(
    version=3,
    expires=NOW,
    server="https://models.example:8443",
    pins=(trust.Pin("models.example", None, (b"1" * 32,)), trust.Pin("store.example", "PEM", (b"3" * 32,))),
    owner=ROLE,
    release=Role(1, (Principal((STRANGER.public,)),)),
    order=ROLE,
    deposit=(trust.DepositRecipient(hpke.X25519, bytes(31) + b"\x09", NOW),),
    suites=(1, 2),
    kems=(hpke.MLKEM768_X25519, hpke.X25519, hpke.P256),
    epochs=(("digits", 1), ("faces", 2)),
)

KINDS = {name: kind for name, kind in sorted(vars(messages).items()) if isinstance(kind, type) and kind is not Message}
KINDS = {name: kind for name, kind in KINDS.items() if issubclass(kind, Message)}


def sample(shape: Shape) -> Json:
    """Return a small legal value of a shape."""
    return SAMPLES[type(shape)](shape)


def _fits(shape: Text, text: str) -> bool:
    try:
        return shape.check(text, "") == text
    except IntegrityError:
        return False


SAMPLES: dict[type, Callable[[Shape], Json]] = {
    Object: lambda shape: {name: sample(one) for name, one in shape.fields.items()},
    Array: lambda shape: [sample(shape.of)] * max(shape.least, 1),
    Nullable: lambda shape: sample(shape.of),
    messages.Record: lambda shape: sample(shape.of.SHAPE),
    Binary: lambda shape: to_base64url(bytes(shape.most if shape.least is None else shape.least)),
    Choice: lambda shape: shape.values[0],
    Integer: lambda shape: shape.low,
    Flag: lambda _: True,
    Free: lambda _: {"a": 1, "b": "text"},
    Text: lambda shape: next(text for text in RIGHT if _fits(shape, text)),
}


def judge_message(data: bytes) -> None:
    """A line that names a message, then its body."""
    name, _, body = data.partition(b"\n")
    kind = KINDS.get(name.decode("latin-1"))
    if kind is not None:
        assert kind.from_bytes(body).to_bytes() == body


def message_seeds() -> Iterator[bytes]:
    for name, kind in KINDS.items():
        yield name.encode() + b"\n" + spelled(sample(kind.SHAPE))


def mutate_message(random: Random, data: bytes, raw: Bytewise) -> bytes:
    name, _, body = data.partition(b"\n")
    return name + b"\n" + (raw(body) if random.random() < 0.05 else json_bytes(random, body, raw))


def judge_jws(data: bytes) -> None:
    """Signed values, one a line; what is accepted has one spelling, which its signers make again."""
    lines = data.decode("latin-1").split("\n")
    payload = jws.verify_role(lines, TYP, ROLE, "fuzz")
    assert all(jws.unverified_payload(line, "fuzz") == payload for line in lines)
    for line in jws.by_role(lines, TYP, ROLE):
        assert line in jws.sign(TYP, payload, (OWNER, OTHER))
        assert any(_verifies(line, one, payload) for one in (OWNER, OTHER))


def _verifies(line: str, signer: SigningKey, payload: bytes) -> bool:
    try:
        return jws.verify_key(line, TYP, signer.public) == payload
    except IntegrityError:
        return False


def judge_dpop(data: bytes) -> None:
    """A proof for one request; its header and its payload have one spelling."""
    text = data.decode("latin-1")
    proof = dpop.verify(text, "POST", URL, TOKEN, NOW)
    assert len(dpop.jkt(proof.key)) == 43
    assert abs(proof.iat - NOW) <= dpop.LEEWAY
    for part in text.split(".")[:2]:
        decoded = from_base64url(part)
        assert canonical.encode(canonical.decode(decoded, limit=dpop.MAX_PROOF)) == decoded


def judge_trust(data: bytes) -> None:
    """A document by itself, and as the next step from one that is known."""
    read = trust.read(data)
    signatures = trust.split(data)
    payload = jws.unverified_payload(signatures[0], "fuzz")
    assert canonical.encode(read.to_value()) == payload
    assert trust.join(signatures) == data
    taken = trust.advance(TRUST, data)
    assert (taken, taken.version) == (read, TRUST.version + 1)


def jws_seeds() -> list[bytes]:
    payload = canonical.encode({"a": 1})
    by = ((OWNER,), (OWNER, OTHER), (STRANGER, OTHER))
    return ["\n".join(jws.sign(TYP, payload, signers)).encode() for signers in by]


def dpop_seeds() -> list[bytes]:
    return [dpop.make(one, "POST", URL, TOKEN, NOW, bytes(16)).encode() for one in (DEVICE, OWNER)]


def trust_seeds() -> list[bytes]:
    following = dataclasses.replace(TRUST, version=4)
    return [trust.encode(TRUST, (OWNER,)), trust.encode(following, (OWNER, OTHER, STRANGER))]


def mutate_jws(random: Random, data: bytes, raw: Bytewise) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    action = random.randrange(8)
    if action == 0:
        return raw(data)
    if action == 1:
        lines.insert(at, lines[at])
    elif action == 2:
        lines.reverse()
    else:
        lines = [line if index != at else _resigned(random, line, raw) for index, line in enumerate(lines)]
    return b"\n".join(lines)


def mutate_dpop(random: Random, data: bytes, raw: Bytewise) -> bytes:
    return raw(data) if random.random() < 0.2 else _resigned(random, data, raw)


def mutate_trust(random: Random, data: bytes, raw: Bytewise) -> bytes:
    """Change the payload and let the owners sign it again; or the list of signatures, or the bytes."""
    way = random.random()
    try:
        lines = trust.split(data)
        payload = jws.unverified_payload(lines[0], "fuzz")
    except StrongroomError:
        return raw(data)
    if way < 0.1:
        return raw(data)
    if way < 0.3:
        at = random.randrange(len(lines))
        changed = [
            line if index != at else _resigned(random, line.encode(), raw).decode("latin-1")
            for index, line in enumerate(lines)
        ]
        return spelled(changed)
    payload = json_bytes(random, payload, raw)
    signers = random.choice(((OWNER,), (OTHER,), (OWNER, OTHER), (OWNER, STRANGER), (STRANGER,)))
    return trust.join(jws.sign(trust.TYP, payload, signers))


def _resigned(random: Random, line: bytes, raw: Bytewise) -> bytes:
    """Change a part of a signed value; the key that its header names signs it again, mostly."""
    parts = line.split(b".")
    at = random.randrange(2)
    if len(parts) <= at:
        return raw(line)
    try:
        decoded = [from_base64url(part.decode("ascii")) for part in parts[:2]]
        kid = canonical.decode(decoded[0], limit=4096).get("kid")
    except (StrongroomError, ValueError, AttributeError):
        return raw(line)
    decoded[at] = json_bytes(random, decoded[at], raw)
    before = b".".join(to_base64url(one).encode() for one in decoded)
    if random.random() < 0.1:
        return b".".join([before, *parts[2:]])
    signer = DEVICE if kid is None else SIGNERS.get(str(kid), OWNER)
    return before + b"." + to_base64url(signer.sign(before)).encode()


_JSON = (Code.JSON_NOT_CANONICAL, Code.JSON_TOO_LARGE, Code.SHAPE, Code.PUBLIC_KEY)
_TRUST = {
    IntegrityError: frozenset((*_JSON, Code.SIGNATURE, Code.TRUST_THRESHOLD)),
    RefusedError: frozenset((Code.TRUST_VERSION,)),
}

TARGETS = (
    Target("message", judge_message, {IntegrityError: frozenset(_JSON)}, message_seeds, mutate_message, 10_000, 8192),
    Target("jws", judge_jws, {IntegrityError: frozenset((Code.SIGNATURE,))}, jws_seeds, mutate_jws, 6_000, 2048),
    Target("dpop", judge_dpop, {DeniedError: frozenset((Code.PROOF,))}, dpop_seeds, mutate_dpop, 6_000, 4200),
    Target("trust", judge_trust, _TRUST, trust_seeds, mutate_trust, 4_000, 8192),
)
