"""KeyDescription: the schema's tags and types, in order and once each."""

import pytest

from android_minting import PACKAGE, SAID, SIGNER
from strongroom.attest import android_description
from strongroom.attest.android_description import KeyDescription
from strongroom.attest.verdict import Refusal, RefusedEvidence
from strongroom.testing import der

ORIGIN = der.explicit(702, der.integer(0))
NULL = der.tlv(der.NULL, b"")


def description(hardware: tuple[bytes, ...], *, software: tuple[bytes, ...] = (), version: int = 300) -> bytes:
    level = der.integer(1, der.ENUMERATED)
    return der.sequence(
        der.integer(version), level, der.integer(version), level, der.octets(b"challenge"), der.octets(b""),
        der.sequence(*software), der.sequence(*hardware),
    )  # fmt: skip


def read(*hardware: bytes, **others: object) -> KeyDescription:
    return android_description.read(description(hardware, **others))


def refused(*hardware: bytes, **others: object) -> str:
    with pytest.raises(RefusedEvidence) as caught:
        read(*hardware, **others)
    assert caught.value.code == Refusal.MALFORMED
    return caught.value.detail


def application(*packages: bytes, signers: tuple[bytes, ...] = (SIGNER,)) -> bytes:
    inside = der.sequence(der.set_of(*packages), der.set_of(*map(der.octets, signers)))
    return der.explicit(709, der.octets(inside))


def test_a_whole_description_is_read():
    said = android_description.read(SAID.encode())
    assert (said.version, said.level, said.keymint_level) == (300, 1, 1)
    assert said.challenge == SAID.challenge
    assert said.software.application is not None
    assert said.software.application.packages == ((PACKAGE, 7),)
    assert said.software.application.signers == (SIGNER,)
    assert said.hardware.purposes == {2}
    assert said.hardware.root_of_trust == android_description.RootOfTrust(
        SAID.boot_key, locked=True, state="verified", boot_hash=SAID.boot_hash
    )


def test_tags_rise_and_none_stands_twice():
    purposes = der.explicit(1, der.set_of(der.integer(2)))
    assert read(purposes, ORIGIN).hardware.origin == 0
    assert "stands behind" in refused(ORIGIN, purposes)
    assert "stands behind" in refused(ORIGIN, ORIGIN)


def test_sets_need_no_order():
    """Genuine keystores write the purposes in the order they were asked for."""
    unsorted = der.explicit(1, der.tlv(der.SET, der.integer(3) + der.integer(2)))
    assert read(unsorted).hardware.purposes == {2, 3}


def test_an_unknown_tag_is_refused_unless_the_schema_is_newer():
    unknown = der.explicit(799, NULL)
    assert "not in the schema" in refused(ORIGIN, unknown)
    assert read(ORIGIN, unknown, version=500).hardware.origin == 0
    assert "values in an explicit tag" in refused(ORIGIN, der.explicit(799, NULL + NULL), version=500)


@pytest.mark.parametrize(
    "field",
    [
        der.explicit(1, der.integer(2)),  # not a set
        der.explicit(1, der.set_of(der.octets(b"2"))),
        der.explicit(3, der.octets(b"256")),
        der.explicit(503, der.integer(1)),
        der.explicit(503, der.tlv(der.NULL, b"\0")),
        der.explicit(702, der.integer(0, der.ENUMERATED)),
        der.explicit(704, der.sequence(der.octets(b""), der.boolean(value=True))),
        der.explicit(704, der.sequence(der.octets(b""), b"\x01\x01\x01", der.integer(0, der.ENUMERATED))),
        der.explicit(704, der.sequence(der.octets(b""), der.boolean(value=True), der.integer(0))),
        der.explicit(710, der.octets(b"\xff")),
        der.explicit(710, der.octets(b"x" * 257)),
        der.explicit(709, der.sequence()),
        der.explicit(709, der.octets(b"")),
        der.explicit(709, der.octets(der.sequence(der.set_of()))),
        application(der.sequence(der.octets(b"a.b"))),
        application(der.octets(b"a.b")),
        der.tlv(der.SEQUENCE, b""),
    ],
)
def test_a_field_of_another_type_is_refused(field):
    assert refused(field)


@pytest.mark.parametrize("count", [0, 7, 9])
def test_a_description_has_eight_fields(count):
    with pytest.raises(RefusedEvidence, match="not 8"):
        android_description.read(der.sequence(*[NULL] * count))


@pytest.mark.parametrize(
    ("written", "understood"),
    [(202610, 202610), (20261005, 20261005), (20261000, 20261000), (0, None), (202613, None), (2026, None),
     (2026100500, None), (2**63, None)],
)  # fmt: skip
def test_a_patch_level_that_is_no_month_says_nothing(written, understood):
    assert read(der.explicit(706, der.integer(written))).hardware.os_patch == understood


def test_names_of_one_device_are_not_kept():
    """An IMEI or a serial number is nobody's business here, though it may be attested."""
    names = [der.explicit(tag, der.octets(b"x%d" % tag)) for tag in (*range(710, 718), 723)]
    assert read(*names).hardware.device == {"brand": "x710", "device": "x711", "model": "x717"}
