"""Attempts to make a reader allocate, count or wait (R22; A14, A15, A16, A19, A21)."""

import resource
import struct
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom import sealed
from strongroom.errors import IntegrityError
from vectors.sealed_writer import MAGIC, Plan, make
from vectors.targets import EXPECTED, network_file

HUGE = [0, 2**31, 2**32 - 1, 2**53 - 1]


def refused(data: bytes, mek: sealed.ModelKey | None = None) -> str:
    def allocate(size: int) -> memoryview:
        pytest.fail(f"{size} bytes were allocated for a file that must be refused")

    with pytest.raises(IntegrityError) as refusal:
        sealed.open_sealed(sealed.BytesReadable(data), mek or sealed.ModelKey(bytes(32)), EXPECTED, allocate=allocate)
    return refusal.value.code


@pytest.mark.parametrize("field", ["segment_size", "toc_length", "payload_length", "segments"])
@pytest.mark.parametrize("value", HUGE)
def test_declared_sizes_cost_nothing(field, value):
    """A14: refused before anything of that size is allocated."""
    data, mek, _ = network_file(core={field: value})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code = refused(data, mek)
    assert code in ("file-limit", "file-format", "file-truncated", "file-trailing")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


@pytest.mark.parametrize("text", ["9223372036854775808", "18446744073709551615", "-1", "1e9", "9" * 5000])
def test_numbers_no_integer_type_holds(text):
    """A14: 2^63, 2^64 - 1, negative, exponent, thousands of digits."""
    old = b'"payload_length":1000'
    made = make(Plan("numbers", bend_core=lambda core: core.replace(old, b'"payload_length":' + text.encode())))
    assert refused(made.data) in ("json-not-canonical", "file-format")


@pytest.mark.parametrize("at", [12, 16, 20])
@pytest.mark.parametrize("value", [0, 2**20 + 1, 2**32 - 1])
def test_header_lengths_beyond_their_caps(at, value):
    """A15."""
    data, _, _ = network_file()
    assert refused(data[:at] + struct.pack(">I", value) + data[at + 4 :]) == "file-limit"


@pytest.mark.parametrize("at", [12, 16, 20])
def test_header_lengths_past_the_end(at):
    """A15: within the caps, but longer than the file."""
    data, _, _ = network_file(size=10)
    assert refused(data[:at] + struct.pack(">I", 60_000) + data[at + 4 :]) == "file-truncated"


@pytest.mark.parametrize("flags", [1, 0x8000, 0xFFFF])
def test_a_flag_for_compression(flags):
    """A16: the format has no compression, and no flags to ask for it."""
    data, _, _ = network_file()
    assert refused(data[:10] + struct.pack(">H", flags) + data[12:]) == "file-format"


def test_downgrade_of_the_suite():
    """A19: unknown suites are refused, and the suite is part of every derived key."""
    data, mek, made = network_file()
    for suite in (0, 3, 9, 99, 255):
        assert refused(data[:9] + bytes([suite]) + data[10:], mek) == "file-unsupported"
    assert refused(data[:9] + b"\2" + data[10:], mek) == "file-signature"
    derived = [sealed.derive(mek, made.data[:32], suite) for suite in (1, 2)]
    assert derived[0].commitment != derived[1].commitment
    assert derived[0].payload != derived[1].payload


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400))
def test_anything_at_all_is_refused_with_a_code_of_ours(data):
    """A32: bytes that are no sealed file, behind the right magic and without it."""
    for head in (b"", MAGIC, MAGIC + b"\1\1\0\0", MAGIC + struct.pack(">BBHIIIQ", 1, 1, 0, 2, 2, 2, 70 + len(data))):
        refused(head + data)


def test_no_file_id_repeats_after_a_fork():
    """A29: parent and child seal right after a fork; randomness comes from the operating system each time."""
    script = """
import io, os, sys
from strongroom import sealed
subject = sealed.Subject(None, "m", "1", None)
def one():
    mek = sealed.ModelKey(bytes(32))
    head = sealed.seal([sealed.Source.of_bytes("m", b"x")], io.BytesIO(), mek=mek, subject=subject)
    return (head.core.file_id + head.digests[0]).hex()
one()
for _ in range(4):
    if os.fork() == 0:
        print(one(), flush=True)
        os._exit(0)
    os.wait()
print(one())
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    lines = answer.stdout.split()
    assert len(lines) == len(set(lines)) == 5
