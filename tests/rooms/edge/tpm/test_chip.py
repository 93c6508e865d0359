"""A real TPM does what is asked, keeps what it must, and is left empty."""

import hashlib

import pytest

from rooms.edge.tpm.bus import Bus
from rooms.edge.tpm.needs import extend, held, locked_out, owner_password
from strongroom.edge.tpm import codes, commands, nv, templates
from strongroom.edge.tpm.chip import Tpm, selected
from strongroom.edge.tpm.commands import Named
from strongroom.edge.tpm.objects import EMPTY, Blob
from strongroom.errors import Code, InputError, IntegrityError, InternalError, SetupError, StoreError
from strongroom.signing import ES256, PublicKey
from strongroom.wire.tpm.constants import Alg, Attribute, Command, Handle, NvAttribute
from strongroom.wire.tpm.signed import Attest, Signature
from strongroom.wire.tpm.structs import Public, Writer

SECRET = bytes(range(100, 132))
RATCHET = nv.RATCHETS + 0x10000  # beside those of devices
BINDING = hashlib.sha256(b"a request").digest()
INSIDE = Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.SENSITIVE_DATA_ORIGIN


@pytest.fixture
def tpm(chip):
    with Tpm.open(chip.address) as tpm:
        yield tpm


def test_a_signing_key_signs_es256_and_cannot_leave(tpm):
    key = tpm.create_signing_key()
    public = Public.read(key.public)
    raw = b"\x04" + public.unique
    for data in (b"", b"one", b"two"):
        assert PublicKey(ES256, raw).verify(tpm.sign(key, hashlib.sha256(data).digest()), data)
    assert not PublicKey(ES256, raw).verify(tpm.sign(key, hashlib.sha256(b"one").digest()), b"other")
    assert public.attributes & INSIDE == INSIDE
    assert not public.attributes & (Attribute.RESTRICTED | Attribute.DECRYPT)
    assert not public.attributes & Attribute.ENCRYPTED_DUPLICATION


def test_an_attestation_key_signs_quotes_alone(tpm):
    key = tpm.create_ak()
    public = Public.read(key.public)
    assert public.attributes & (INSIDE | Attribute.RESTRICTED | Attribute.SIGN) == INSIDE | (
        Attribute.RESTRICTED | Attribute.SIGN
    )
    assert not public.attributes & Attribute.DECRYPT
    with pytest.raises(codes.TpmError) as caught:
        tpm.sign(key, bytes(32))  # a digest of the caller's: it might be that of a made-up quote
    assert caught.value.code == Code.STORE_IO


def test_a_quote_says_what_the_registers_hold(tpm):
    extend(tpm, 16, b"what was measured")
    key = tpm.create_ak()
    quote = tpm.quote(key, BINDING, [7, 16, 0, 16])
    said = Attest.parse(quote.attest)
    Signature.parse(quote.signature).verify(Public.read(key.public).key(), quote.attest)
    assert said.extra == BINDING
    assert list(quote.pcrs) == [0, 7, 16]
    assert said.selections[0].registers == (0, 7, 16)
    assert said.digest == hashlib.sha256(b"".join(quote.pcrs.values())).digest()
    assert any(quote.pcrs[16])
    extend(tpm, 16, b"more")
    assert tpm.read_pcrs([16])[16] != quote.pcrs[16]


def test_a_quote_is_asked_for_again_while_registers_change(chip):
    """The values that are reported are those that were quoted, or it is an error: never a mixture."""
    bus = Bus(chip.address)
    with Tpm(bus, chip.address) as tpm:
        key = tpm.create_ak()
        tpm.read_pcrs([16])
        still = bus.passed[-1]

        def stale(answer):
            return still if len(answer) == len(still) and answer[:10] == still[:10] else answer

        extend(tpm, 16, b"meanwhile")
        bus.bend = stale
        with pytest.raises(StoreError) as caught:
            tpm.quote(key, BINDING, [16])
        assert "change all the time" in caught.value.what
        bus.bend = lambda answer: answer
        assert tpm.quote(key, BINDING, [16]).pcrs == tpm.read_pcrs([16])


def test_registers_that_are_not_there(tpm):
    for registers, bank in (((), "sha256"), ((24,), "sha256"), ((-1,), "sha256"), ((0,), "md5")):
        with pytest.raises(InputError) as caught:
            selected(registers, bank)
        assert caught.value.code == Code.ARGUMENT
    with pytest.raises(StoreError) as caught:
        tpm.read_pcrs([0], "sha384")  # this TPM has one bank
    assert "no bank sha384" in caught.value.what


def test_a_secret_comes_back(tpm):
    for size in (1, 32, 64, 128):
        secret = (SECRET * 4)[:size]
        found = tpm.unseal(tpm.seal(secret))
        assert type(found) is bytearray
        assert found == secret
    for size in (0, 129):
        with pytest.raises(InternalError):
            tpm.seal(bytes(size))


def test_a_secret_sealed_to_registers_stays_there_when_they_change(tpm):
    blob = tpm.seal(SECRET, [0, 16])
    assert tpm.unseal(blob, [16, 0]) == SECRET
    with pytest.raises(StoreError):
        tpm.unseal(blob)  # without its policy
    with pytest.raises(StoreError):
        tpm.unseal(blob, [0])
    extend(tpm, 16, b"another boot loader")
    with pytest.raises(StoreError) as caught:
        tpm.unseal(blob, [0, 16])
    assert caught.value.code == Code.STORE_IO
    assert "booted other software" in caught.value.what


def test_blobs_survive_a_reboot(chip):
    with Tpm.open(chip.address) as tpm:
        root, key, ak, sealed = tpm.root_name(), tpm.create_signing_key(), tpm.create_ak(), tpm.seal(SECRET)
        before = Attest.parse(tpm.quote(ak, BINDING, [0]).attest).clock
    chip.reboot()
    with Tpm.open(chip.address, root=root) as tpm:
        assert tpm.unseal(sealed) == SECRET
        assert PublicKey(ES256, b"\x04" + Public.read(key.public).unique).verify(
            tpm.sign(key, hashlib.sha256(b"x").digest()), b"x"
        )
        after = Attest.parse(tpm.quote(ak, BINDING, [0]).attest).clock
    assert after.reset_count > before.reset_count


def test_another_tpm_is_noticed_and_opens_nothing(chip, other_chip):
    """A copied disk in another machine."""
    with Tpm.open(chip.address) as tpm:
        root, key, sealed = tpm.root_name(), tpm.create_signing_key(), tpm.seal(SECRET)
    with Tpm.open(other_chip.address) as tpm:
        assert tpm.root_name() != root
        for use in (lambda: tpm.unseal(sealed), lambda: tpm.sign(key, bytes(32))):
            with pytest.raises(StoreError) as caught:
                use()
            assert caught.value.code == Code.STORE_DAMAGED
            assert "another TPM" in caught.value.what
    with Tpm.open(other_chip.address, root=root) as tpm:
        for use in (tpm.root_name, tpm.create_ak, lambda: tpm.seal(SECRET)):
            with pytest.raises(StoreError) as caught:
                use()
            assert caught.value.code == Code.STORE_DAMAGED
            assert "another TPM" in caught.value.what


def test_every_changed_byte_of_a_blob_is_refused(tpm):
    data = tpm.seal(SECRET).to_bytes()
    for index in range(0, len(data), 7):
        bent = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        with pytest.raises((StoreError, IntegrityError)):
            tpm.unseal(Blob.from_bytes(bent))
        with pytest.raises(IntegrityError):
            Blob.from_bytes(data[:index])


def test_a_persistent_storage_key_of_the_usual_kind_is_used(chip):
    with Tpm.open(chip.address) as tpm:
        root = tpm.root_name()
        objects = tpm._objects
        made = objects.storage()[0]
        move = Writer().u32(0x81000001).bytes()
        objects.channel.call(Command.EVICT_CONTROL, [Named.plain(Handle.OWNER), made], move, [EMPTY])
        sealed = tpm.seal(SECRET)
    bus = Bus(chip.address)
    with Tpm(bus, chip.address, root) as tpm:
        assert tpm.root_name() == root
        assert tpm.unseal(sealed) == SECRET
        assert not any(sent[6:10] == Command.CREATE_PRIMARY.to_bytes(4, "big") for sent in bus.passed)
        kept = tpm._objects.storage()[0]
        tpm._channel.call(Command.EVICT_CONTROL, [Named.plain(Handle.OWNER), kept], move, [EMPTY])
    with Tpm.open(chip.address, root=root) as tpm:
        assert tpm.unseal(sealed) == SECRET


def test_nothing_is_left_in_the_tpm(chip):
    """Without a resource manager there is room for three objects, and they outlive whoever made them."""
    for _ in range(5):
        with Tpm.open(chip.address) as tpm:
            key = tpm.create_ak()
            tpm.quote(key, BINDING, [0])
            with pytest.raises(StoreError):
                tpm.sign(key, bytes(32))
            assert len(held(tpm)) == 1  # the storage key, until it is closed
        with Tpm.open(chip.address) as tpm:
            assert held(tpm) == []


def test_what_a_program_that_died_left_is_cleared_away(chip):
    """A client killed in the middle left the TPM full; the next one must not need a reboot."""
    for _ in range(3):
        dead = Tpm.open(chip.address)
        dead._objects.primary(Handle.OWNER, templates.ROOT.area)
        dead._channel.start_session(0)
        dead._channel._transport.close()  # killed: nothing is flushed
    with Tpm.open(chip.address) as tpm:
        assert len(held(tpm)) == 6
        assert tpm.unseal(tpm.seal(SECRET)) == SECRET
        assert len(held(tpm)) == 1
    with Tpm.open(chip.address) as tpm:
        assert held(tpm) == []


def test_a_ratchet_only_goes_forward(chip):
    """C07: whoever puts back last week's disk cannot put this back."""

    def turned(place, data):
        return hashlib.sha256(place + data).digest()

    first = turned(bytes(32), b"first")
    with Tpm.open(chip.address) as tpm:
        assert tpm.read_ratchet(RATCHET) is None
        tpm.begin_ratchet(RATCHET, b"first")
        assert tpm.read_ratchet(RATCHET) == first
        tpm.turn_ratchet(RATCHET, b"second")
        assert tpm.read_ratchet(RATCHET) == turned(first, b"second")
        tpm.begin_ratchet(RATCHET, b"first")  # beginning again does not begin anew
        third = turned(turned(first, b"second"), b"first")
    chip.reboot()
    with Tpm.open(chip.address) as tpm:
        assert tpm.read_ratchet(RATCHET) == third
        tpm.remove_ratchet(RATCHET)
        assert tpm.read_ratchet(RATCHET) is None
        with pytest.raises(StoreError):
            tpm.turn_ratchet(RATCHET, b"third")


def test_a_ratchet_that_was_made_and_never_moved_is_gone_on_with(chip):
    """The process died between making the index and moving it for the first time."""
    with Tpm.open(chip.address) as tpm:
        public = Writer().sized(b"").sized(nv._public(RATCHET, written=False)).bytes()
        tpm._channel.call(Command.NV_DEFINE_SPACE, [Named.plain(Handle.OWNER)], public, [EMPTY])
        assert tpm.read_ratchet(RATCHET) is None
        tpm.begin_ratchet(RATCHET, b"first")
        assert tpm.read_ratchet(RATCHET) == hashlib.sha256(bytes(32) + b"first").digest()
        tpm.remove_ratchet(RATCHET)


def test_an_index_that_can_be_written_does_not_pass_for_a_ratchet(chip):
    """C07: one of the same size in its place, which its maker may set as he likes."""
    attributes = nv._ATTRIBUTES & ~NvAttribute.EXTEND
    plain = Writer().u32(RATCHET).u16(Alg.SHA256).u32(attributes).sized(b"").u16(nv.SIZE).bytes()
    name = Named(RATCHET, b"whatever: a password is no HMAC")
    with Tpm.open(chip.address) as tpm:
        parameters = Writer().sized(b"").sized(plain).bytes()
        tpm._channel.call(Command.NV_DEFINE_SPACE, [Named.plain(Handle.OWNER)], parameters, [EMPTY])
        tpm._channel.call(Command.NV_WRITE, [name, name], Writer().sized(bytes(32)).u16(0).bytes(), [EMPTY])
        assert nv.read(tpm._channel, RATCHET) == bytes(32)
        assert tpm.read_ratchet(RATCHET) is None
        for use in (tpm.turn_ratchet, tpm.begin_ratchet):
            with pytest.raises(StoreError):
                use(RATCHET, b"first")
        tpm.remove_ratchet(RATCHET)


def test_a_locked_tpm_says_so(chip):
    """Too many wrong passwords of others lock some objects; ours have none, so they go on working."""
    with Tpm.open(chip.address) as tpm:
        sealed = tpm.seal(SECRET)
        with locked_out(tpm) as use, pytest.raises(StoreError) as caught:
            use()
        assert caught.value.code == Code.LOCKED
        assert "dictionary attack" in caught.value.what
        assert "lockout" in caught.value.next_step
        with locked_out(tpm):
            assert tpm.unseal(sealed) == SECRET


def test_a_hierarchy_with_a_password_is_said_to_have_one(chip):
    """Its owner took the TPM over: strongroom knows no such password, and says so instead of trying."""
    with Tpm.open(chip.address) as tpm:
        owner_password(tpm, old=b"", new=b"secret")
    try:
        with Tpm.open(chip.address) as tpm, pytest.raises(StoreError) as caught:
            tpm.root_name()
        assert caught.value.code == Code.STORE_IO
        assert "password" in caught.value.what
    finally:
        with Tpm.open(chip.address) as tpm:
            owner_password(tpm, old=b"secret", new=b"")


def test_a_tpm_that_was_never_started(chip):
    chip.reboot(startup=False)
    try:
        with Tpm.open(chip.address) as tpm, pytest.raises(SetupError) as caught:
            tpm.read_pcrs([0])
        assert caught.value.code == Code.CONFIG
        assert "not been started" in caught.value.what
    finally:
        chip.reboot()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0x921, "too many wrong authorisations"),
        (0x98E, "an authorisation is wrong, and it counts that (dictionary attack protection); session 1"),
        (0x99D, "what must hold for this does not hold (policy check); session 1"),
        (0x1DF, "these bytes were not made by this TPM, or were changed (integrity check); parameter 1"),
        (0x18B, "there is no such object in it; handle 1"),
        (0x902, "it has no room for another object"),
        (0xFFF, "it refused"),
    ],
)
def test_response_codes_in_words(code, text):
    assert text in codes.words(code)
    error = codes.refused(code, "unseal", "/dev/tpmrm0")
    assert f"{code:#05x}" in error.what
    assert error.where == "/dev/tpmrm0"


@pytest.mark.parametrize("code", sorted(codes.AGAIN))
def test_a_busy_tpm_is_asked_again_and_not_for_ever(chip, monkeypatch, code):
    monkeypatch.setattr(commands, "PAUSE", 0)
    bus = Bus(chip.address)
    busy = bytes.fromhex("80010000000a") + code.to_bytes(4, "big")
    left = 5

    def putting_off(answer):
        nonlocal left
        left -= 1
        return busy if left >= 0 else answer

    bus.bend = putting_off
    with Tpm(bus, chip.address) as tpm:
        assert len(tpm.read_pcrs([0])[0]) == 32
        assert len(bus.passed) == 12
        left = 1000
        with pytest.raises(codes.TpmError) as caught:
            tpm.read_pcrs([0])
        assert caught.value.bare == code
        assert left == 1000 - commands.TRIES


def test_a_public_area_of_another_kind_is_no_storage_key():
    for other in (templates.ATTESTATION, templates.SIGNING, templates.ENDORSEMENT_KEYS[0].template):
        assert not templates.ROOT.fits(Public.read(other.area))
    assert not templates.ROOT.fits(Public.read(templates.sealed(b"")))
    assert templates.ROOT.fits(Public.read(templates.ROOT.head + Writer().sized(b"1").sized(b"2").bytes()))
