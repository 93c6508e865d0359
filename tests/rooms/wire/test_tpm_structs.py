"""TPM structures: what a real TPM wrote is read, and nothing else is (R82)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from strongroom.errors import Code, IntegrityError
from strongroom.wire.tpm.constants import Alg, Attribute, Curve, Tag
from strongroom.wire.tpm.signed import Attest, PcrSelection, Signature, read_selections, write_selections
from strongroom.wire.tpm.structs import Public, Reader, Scheme, Symmetric, Writer

# of a software TPM (swtpm 0.7.1): an attestation key on P-256, a quote of seven registers, its signature
AK = bytes.fromhex(
    "0023000b00050472000000100018000b000300100020274d76da4aff00fb71b906a8da0390494c2d045293e1e072ef3aee5bf327ad71"
    "0020948e23e2da9b66ef3097a79a8ca29f94f384e2a54de9535071f9defc5aa442eb"
)
QUOTE = bytes.fromhex(
    "ff54434780180022000bd4f6395a1e86fdf8462d271c625815dd2aebffbf58f1abc423f08718b8f67bae0020cea647af6d8077dbdaef"
    "76645b0c4f41eec5b94d6a6747c33b75010480b0dcb3000000000001240f000000020000000001201910230016363600000001000b03"
    "9f0001002045e18bd5216e9c28231443dcb24a37be677a95084139f1abf7879420bb424d11"
)
SIGNATURE = bytes.fromhex(
    "0018000b002034b68c6a382288cbecc3018988d610f5183590ffcb1a907aaa43516afc71bc380020b4b643251cc181b43d5136360164"
    "bea2ce1078d74e0f80508fb6ea4df0ec016c"
)
NAME = bytes.fromhex("000b95c930c0ad8e49078cb61a40ff84da46f5aa9557d2650cf5775b17c16fce0b67")
QUALIFIED = "000bd4f6395a1e86fdf8462d271c625815dd2aebffbf58f1abc423f08718b8f67bae"


def shape(parse, data: bytes) -> str:
    with pytest.raises(IntegrityError) as caught:
        parse(data)
    assert caught.value.code == Code.SHAPE
    return caught.value.what


def rsa_public(*, bits: int = 2048, modulus: bytes = b"\xc1" * 256, exponent: int = 0) -> bytes:
    head = Writer().u16(Alg.RSA, Alg.SHA256).u32(0x00050472).sized(b"").u16(Alg.NULL, Alg.RSASSA, Alg.SHA256)
    return head.u16(bits).u32(exponent).sized(modulus).bytes()


def test_the_public_area_of_a_real_key():
    ak = Public.parse(AK)
    assert (ak.type, ak.name_alg, ak.curve, ak.scheme) == (
        Alg.ECC,
        Alg.SHA256,
        Curve.P256,
        Scheme(Alg.ECDSA, Alg.SHA256),
    )
    assert ak.attributes == (
        Attribute.FIXED_TPM | Attribute.FIXED_PARENT | Attribute.SENSITIVE_DATA_ORIGIN | Attribute.USER_WITH_AUTH
        | Attribute.NO_DA | Attribute.RESTRICTED | Attribute.SIGN
    )  # fmt: skip
    assert (ak.raw, ak.symmetric, ak.auth_policy, ak.kdf) == (AK, None, b"", Scheme())
    assert isinstance(ak.key(), ec.EllipticCurvePublicKey)
    assert ak.name() == NAME
    assert Public.parse(ak.sized()) == ak


def test_a_real_quote_under_its_key():
    quote, key = Attest.parse(QUOTE), Public.parse(AK).key()
    assert quote.type == Tag.ATTEST_QUOTE
    assert quote.signer.hex() == QUALIFIED
    assert quote.extra.hex() == "cea647af6d8077dbdaef76645b0c4f41eec5b94d6a6747c33b75010480b0dcb3"
    assert (quote.clock.clock, quote.clock.reset_count, quote.clock.restart_count) == (0x1240F, 2, 0)
    assert quote.clock.safe
    assert quote.firmware == 0x2019102300163636
    assert quote.selections == (PcrSelection(Alg.SHA256, (0, 1, 2, 3, 4, 7, 16)),)
    assert quote.digest.hex() == "45e18bd5216e9c28231443dcb24a37be677a95084139f1abf7879420bb424d11"
    signature = Signature.parse(SIGNATURE)
    signature.verify(key, QUOTE)
    with pytest.raises(IntegrityError) as caught:
        signature.verify(key, QUOTE[:-1])
    assert caught.value.code == Code.SIGNATURE


def test_a_truth_value_is_0_or_1():
    at = QUOTE.index(bytes.fromhex("012019102300163636"))
    assert not Attest.parse(QUOTE[:at] + b"\0" + QUOTE[at + 1 :]).clock.safe
    assert "neither" in shape(Attest.parse, QUOTE[:at] + b"\2" + QUOTE[at + 1 :])


def test_a_signature_says_nothing_under_a_key_or_hash_it_is_not_for():
    rsa_key = rsa.generate_private_key(65_537, 2048).public_key()
    with_sha1 = SIGNATURE[:2] + Alg.SHA1.to_bytes(2, "big") + SIGNATURE[4:]
    for bytes_, key in ((SIGNATURE, rsa_key), (with_sha1, Public.parse(AK).key())):
        with pytest.raises(IntegrityError) as caught:
            Signature.parse(bytes_).verify(key, QUOTE)
        assert caught.value.code == Code.SIGNATURE


@pytest.mark.parametrize(("parse", "whole"), [(Public.parse, AK), (Attest.parse, QUOTE), (Signature.parse, SIGNATURE)])
def test_nothing_is_read_short_or_long(parse, whole):
    for size in range(len(whole)):
        shape(parse, whole[:size])
    assert "behind its end" in shape(parse, whole + b"\0")


@pytest.mark.parametrize(("parse", "whole"), [(Public.parse, AK), (Attest.parse, QUOTE), (Signature.parse, SIGNATURE)])
def test_every_flipped_bit_is_refused_or_told_apart(parse, whole):
    """Names and signatures are over the raw bytes, so a bit that is read must be a bit that counts."""
    original = parse(whole)
    codes = set()
    for at in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        try:
            found = parse(bytes(flipped))
        except IntegrityError as error:
            codes.add(error.code)
        else:
            assert found != original
    assert codes == {Code.SHAPE}


def test_rsa_keys_have_the_size_they_name():
    public = Public.parse(rsa_public())
    assert (public.bits, public.exponent) == (2048, 65_537)  # an exponent of 0 means that
    assert public.key().public_numbers().e == 65_537
    assert Public.parse(rsa_public(exponent=3)).exponent == 3
    shape(Public.parse, rsa_public(bits=2056))
    shape(Public.parse, rsa_public(modulus=b"\x41" * 256))
    shape(Public.parse, rsa_public(modulus=b""))
    shape(Public.parse, rsa_public(bits=4104, modulus=b"\xc1" * 513))
    shape(lambda data: Public.parse(data).key(), rsa_public(exponent=2))


def test_points_off_the_curve_are_no_keys():
    shape(lambda data: Public.parse(data).key(), AK[:-1] + bytes([AK[-1] ^ 1]))


def test_a_point_may_come_without_its_leading_zeros():
    whole = ec.derive_private_key(43, ec.SECP256R1()).public_key().public_numbers()
    found = next(
        numbers
        for scalar in range(1, 5000)
        if (numbers := ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()).x < 2**248
    )
    head = AK[: AK.index(bytes.fromhex("0020274d"))]
    short = Writer().raw(head).sized(found.x.to_bytes(31, "big")).sized(found.y.to_bytes(32, "big")).bytes()
    assert Public.parse(short).key().public_numbers() == found
    assert found != whole


def test_restricted_decryption_keys_and_sealed_objects_are_read():
    head = Writer().u16(Alg.ECC, Alg.SHA256).u32(0x00030072).sized(b"").u16(Alg.AES, 128, Alg.CFB, Alg.NULL)
    storage = Public.parse(head.u16(Curve.P256, Alg.NULL).raw(AK[-68:]).bytes())
    assert (storage.symmetric, storage.scheme) == (Symmetric(Alg.AES, 128, Alg.CFB), Scheme())
    sealed = Public.parse(
        Writer().u16(Alg.KEYEDHASH, Alg.SHA256).u32(0x12).sized(bytes(32)).u16(Alg.NULL).sized(b"\1" * 32).bytes()
    )
    assert (sealed.auth_policy, sealed.unique) == (bytes(32), b"\1" * 32)
    assert "no public key" in shape(lambda data: Public.read(data).key(), sealed.raw)


@pytest.mark.parametrize(
    "public",
    [
        Writer().u16(Alg.SYMCIPHER, Alg.SHA256).u32(0).sized(b"").bytes(),
        Writer().u16(Alg.ECC, 0x12).u32(0).sized(b"").bytes(),
        Writer().u16(Alg.ECC, Alg.SHA256).u32(0).sized(bytes(20)).bytes(),
        Writer().u16(Alg.ECC, Alg.SHA256).u32(0).sized(b"").u16(Alg.CTR).bytes(),
        Writer().u16(Alg.ECC, Alg.SHA256).u32(0).sized(b"").u16(Alg.NULL, Alg.ECDAA, Alg.SHA256, 1).bytes(),
        Writer().u16(Alg.ECC, Alg.SHA256).u32(0).sized(b"").u16(Alg.NULL, Alg.NULL, 0x10, Alg.NULL).bytes(),
    ],
)
def test_what_is_not_known_is_not_read(public):
    assert "too early" not in shape(Public.parse, public)


def test_selections_are_read_as_they_are_written():
    wanted = (PcrSelection(Alg.SHA256, (0, 7, 23)), PcrSelection(Alg.SHA384, (8,)))
    written = write_selections(*wanted)
    assert written.hex() == "00000002000b03810080000c03000100"
    reader = Reader(written)
    assert read_selections(reader) == wanted
    reader.end()
    twice = write_selections(wanted[0], wanted[0])
    assert "twice" in shape(lambda data: read_selections(Reader(data)), twice)
    for bad in ("00000009", "00000001001203000000", "00000001000b00", "00000001000b050000000000"):
        shape(lambda data: read_selections(Reader(data)), bytes.fromhex(bad))


def test_numbers_are_big_endian_and_fields_have_limits():
    written = Writer().u8(1).u16(2, 3).u32(4).u64(5).sized(b"six").raw(b"7").bytes()
    assert written.hex() == "0100020003000000040000000000000005000373697837"
    reader = Reader(written)
    assert (reader.u8(), reader.u16(), reader.u16(), reader.u32(), reader.u64()) == (1, 2, 3, 4, 5)
    assert (reader.sized(), reader.left, reader.rest()) == (b"six", 1, b"7")
    reader.end()
    shape(lambda data: Reader(data).sized(3), b"\0\4abcd")
