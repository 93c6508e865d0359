"""Attempts to spell one value in two ways, or to say what no parser agrees on (R28; section 3).

MAC and signatures are made over the bent bytes here by those who can, so that the spelling is all that is wrong.
"""

import json
import re
from collections.abc import Callable
from functools import partial

import pytest

from strongroom import sealed
from vectors.sealed_writer import Made, dump, fixed
from vectors.targets import FORMS, Target, network_file, opener, rebuilt, refused

# In each part: what stands before one value, and the value itself or its first quote.
PLACES = {
    "core header": (b'"counter":', b"1"),
    "manifest": (b'{"segments":[', b'"'),
    "signature block": (b'[{"alg":', b'"'),
    "table of contents": (b'"format":', b"null"),
}
# Bytes in place of that value. Each is JSON for some parser in use, and none is legal.
VALUES = {
    "a fraction": b"1.0",
    "a fraction without digits": b"1.",
    "a fraction without a whole": b".5",
    "an exponent": b"1e0",
    "a capital exponent": b"1E2",
    "an exponent beyond all floats": b"1e400",
    "minus zero": b"-0",
    "a leading zero": b"01",
    "a plus": b"+1",
    "hexadecimal": b"0x1",
    "2^53": b"9007199254740992",
    "-2^53": b"-9007199254740992",
    "2^64": b"18446744073709551616",
    "5,000 digits": b"9" * 5000,
    "not a number": b"NaN",
    "infinity": b"Infinity",
    "minus infinity": b"-Infinity",
    "a capital word": b"True",
    "no word": b"undefined",
    "nothing": b"",
    "two values": b"1,,1",
    "single quotes": b"'a'",
    "an open text": b'"a',
    "a letter beyond ASCII as it is": '"\u00e9"'.encode(),
    "bytes that are no UTF-8": b'"\xff"',
    "U+007F as it is": b'"\x7f"',
    "a line end in a text": b'"\n"',
    "a tab in a text": b'"\t"',
    "a NUL in a text": b'"\0"',
    "a long escape for a line end": b'"\\u000a"',
    "an escape that is not needed": b'"\\u0061"',
    "an escaped slash": b'"\\/"',
    "a capital escape": b'"\\u00E9"',
    "an escape of another language": b'"\\x41"',
    "half a surrogate pair": b'"\\ud800"',
    "a surrogate pair turned round": b'"\\udc00\\ud800"',
    "nine levels": b"[" * 9 + b"1" + b"]" * 9,
    "thirty thousand levels": b"[" * 30_000,
    "a key twice": b'{"a":1,"a":1}',
    "a key twice, once escaped": b'{"a":1,"\\u0061":2}',
    "keys out of order": b'{"b":1,"a":1}',
    "a capital in a key": b'{"A":1}',
    "a key that starts with a digit": b'{"1":1}',
    "a key that JavaScript knows": b'{"__proto__":1}',
    "an empty key": b'{"":1}',
    "a key of 65 characters": b'{"' + b"a" * 65 + b'":1}',
    "a key without quotes": b"{a:1}",
    "a comma at the end": b"[1,]",
    "a comment": b"/**/1",
    "a space before": b" 1",
    "a space behind": b"1 ",
}
# What is done to the bytes of a part as a whole.
WHOLES: dict[str, Callable[[bytes], bytes]] = {
    "spaces as most writers put them": lambda part: json.dumps(json.loads(part)).encode(),
    "a line end at the end": lambda part: part + b"\n",
    "a space at the start": lambda part: b" " + part,
    "a NUL at the end": lambda part: part + b"\0",
    "a second value": lambda part: part + part,
    "a byte order mark": lambda part: b"\xef\xbb\xbf" + part,
    "UTF-16": lambda part: part.decode().encode("utf-16-be"),
    "the last bracket missing": lambda part: part[:-1],
    "the first key escaped": lambda part: re.sub(b'"(.)', lambda key: b'"\\u%04x' % ord(key[1]), part, count=1),
    "the first member twice": lambda part: part.replace(b"{", b"{" + first_member(part) + b",", 1),
    "members in another order": lambda part: json.dumps(turned(json.loads(part)), separators=(",", ":")).encode(),
}


def first_member(part: bytes) -> bytes:
    value = json.loads(part)
    first = value[0] if isinstance(value, list) else value
    name = min(first)
    return dump({name: first[name]})[1:-1]


def turned(value: object) -> object:
    """Return a value whose objects have their members in the opposite order."""
    if isinstance(value, list):
        return [turned(one) for one in value]
    return {name: turned(value[name]) for name in sorted(value, reverse=True)} if isinstance(value, dict) else value


def parts_of(made: Made) -> dict[str, bytes]:
    core = int.from_bytes(made.head[12:16], "big")
    head, manifest = made.head[20 : 20 + core], made.head[20 + core :]
    block = made.head_part[44 + len(made.head) :]
    return {"core header": head, "manifest": manifest, "signature block": block, "table of contents": made.toc}


def with_part(name: str, spelled: bytes) -> tuple[bytes, sealed.ModelKey]:
    """Return a file one part of which is spelled like this, everything around it right, and its key."""
    if name == "table of contents":
        data, mek, _ = network_file(size=100, bend_toc=lambda _: spelled)
        return data, mek
    if name == "core header":
        data, mek, _ = network_file(size=100, bend_core=lambda _: spelled)
        return data, mek
    _, mek, made = network_file(size=100)
    return rebuilt(made, **{"manifest" if name == "manifest" else "block": spelled}), mek


@pytest.mark.parametrize("part", PLACES)
def test_the_only_legal_spelling_opens(part):
    """A17: the counterpart: the same way of making a file, with nothing bent."""
    _, _, made = network_file(size=100)
    data, mek = with_part(part, parts_of(made)[part])
    assert opener(data, mek)() == fixed("target", 100)


@pytest.mark.parametrize("part", PLACES)
def test_a_value_in_another_spelling(part):
    """A17: 51 spellings of one value in each of the four JSON parts: all refused, each as what it is."""
    _, _, made = network_file(size=100)
    before, value = PLACES[part]
    genuine = parts_of(made)[part]
    at = genuine.index(before) + len(before)
    end = genuine.index(b'"', at + 1) + 1 if value.startswith(b'"') else at + len(value)
    expect = "file-content" if part == "table of contents" else "json-not-canonical"
    for name, bent in VALUES.items():
        data, mek = with_part(part, genuine[:at] + bent + genuine[end:])
        assert refused(opener(data, mek)) == expect, name
    assert len(VALUES) == 51


@pytest.mark.parametrize("part", PLACES)
def test_a_part_in_another_spelling(part):
    """A17: 11 spellings of a whole part, in each of the four."""
    _, _, made = network_file(size=100)
    genuine = parts_of(made)[part]
    expect = "file-content" if part == "table of contents" else "json-not-canonical"
    for name, bend in WHOLES.items():
        bent = bend(genuine)
        if part == "manifest" and name == "members in another order":
            assert bent == genuine, "it has one member"
            continue
        assert bent != genuine, name
        data, mek = with_part(part, bent)
        assert refused(opener(data, mek)) == expect, name
    assert len(WHOLES) == 11


@pytest.mark.parametrize("part", ["core header", "manifest", "signature block", "table of contents"])
def test_bytes_in_another_spelling(part):
    """A17: base64url with padding, with unused bits, in the other alphabet, with a space or a line end."""
    _, _, made = network_file(size=100)
    genuine = parts_of(made)[part]
    before = {
        "core header": b'"file_id":"',
        "manifest": b'"segments":["',
        "signature block": b'"key":"',
        "table of contents": b'"sha256":"',
    }
    at = genuine.index(before[part]) + len(before[part])
    text = genuine[at : at + 43]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = text[:-1] + bytes([alphabet[alphabet.index(text[-1:]) | 1]])
    expect = "file-content" if part == "table of contents" else "json-not-canonical"
    for bent in (text[:-1] + b"=", spare, b"+" + text[1:], b"/" + text[1:], b" " + text[1:], text[:-2] + b"\\n"):
        data, mek = with_part(part, genuine[:at] + bent + genuine[at + 43 :])
        assert refused(opener(data, mek)) == expect, bent


@pytest.mark.parametrize(("form", "suite"), FORMS)
def test_an_extension_that_must_be_understood(form, suite):
    """A18: a field this reader does not know, named in `critical`: refused before anything else is believed."""
    target = Target.of(form, suite, 100)
    core = dump({**json.loads(parts_of(target.made)["core header"]), "critical": ["hint"], "hint": 1})
    block = None if form == "network" else b"[]"
    assert target.code(rebuilt(target.made, core=core, block=block)) == "file-unsupported"


@pytest.mark.parametrize("suite", [1, 2])
def test_an_extension_that_need_not_be_understood(suite):
    """A18: ignored, and still nobody can change, add or take it away: signatures and MAC cover it."""
    data, mek, made = network_file(suite=suite, size=100, core={"hint": {"any": ["thing"]}})
    assert opener(data, mek)() == fixed("target", 100)
    core = json.loads(parts_of(made)["core header"])
    for bent in (core | {"hint": {"any": ["other"]}}, core | {"more": 1}, {**core, "hint": None}, without(core)):
        text = dump(bent)
        altered = rebuilt(made, core=text, signers=("stranger",))
        mac = made.head_part[12 + len(made.head) : 44 + len(made.head)]
        end = 32 + len(text) + len(parts_of(made)["manifest"])
        without_key = altered[:end] + mac + altered[end + 32 :]
        assert refused(opener(without_key, mek)) == "file-signature"
        unsigned = partial(
            sealed.open_sealed, sealed.BytesReadable(without_key), mek, sealed.Expected("model", None, None)
        )
        assert refused(unsigned) == "file-header-mac"


def without(core: dict) -> dict:
    return {name: value for name, value in core.items() if name != "hint"}


@pytest.mark.parametrize("part", ["manifest", "signature block", "table of contents"])
def test_only_the_core_header_can_be_extended(part):
    """A18: an unknown field anywhere else is a broken rule."""
    _, _, made = network_file(size=100)
    value = json.loads(parts_of(made)[part])
    (value[0] if isinstance(value, list) else value)["hint"] = 1
    data, mek = with_part(part, dump(value))
    assert refused(opener(data, mek)) == ("file-content" if part == "table of contents" else "file-format")
