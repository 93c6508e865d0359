"""Mutations that know what they change: values inside canonical JSON, lengths around it.

Random bytes end at the first bracket of a strict decoder. These keep the spelling right, most of the time, so that what
stands behind it is reached: schemas, limits, and numbers that must agree with one another.
"""

import base64
import copy
import json
import struct
from collections.abc import Callable
from itertools import pairwise
from random import Random

Json = None | bool | int | float | str | list | dict
Bytewise = Callable[[bytes], bytes]  # changes bytes without knowing what they are: libFuzzer's own, or `bytewise`

NUMBERS = (
    0,
    1,
    -1,
    2,
    15,
    255,
    256,
    1000,
    16_383,
    16_384,
    16_385,
    65_535,
    2**20,
    2**22,
    2**26,
    2**31,
    2**53 - 1,
    2**53,
)
TEXTS = (
    "", "a", "A", "model", "local", "delta", "overlay", "Ed25519", "ML-DSA-65", "ES256", "_", "-", "A" * 22, "A" * 43,
    "A" * 86, "..", "../x", "/", "a/b", "a//b", "con", "aux.txt", "a:b", "\0", "\x7f", "\x80", "e\u0301",
    "\u00e9", "\u212a", "\u202e", "\ud800", "\U0001f600", "a ", '"', "\\", "\n", "x" * 65, "x" * 1025, "=", "AA==",
    "AB",
)  # fmt: skip
LEAVES = (None, True, False, 0.5, [], {}, *NUMBERS, *TEXTS)
MOST = 60_000  # bytes of one text: larger inputs only cost time


def json_bytes(random: Random, data: bytes, raw: Bytewise) -> bytes:
    """Change canonical JSON: its value mostly, its spelling sometimes, its bytes where it is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return raw(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        value = changed(random, value)
    text = spelled(value)
    return misspelled(random, text) if random.random() < 0.1 else text


def spelled(value: Json) -> bytes:
    """Return canonical JSON, as far as the value has any."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def changed(random: Random, value: Json) -> Json:
    """Change one thing somewhere in a value."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places or random.random() < 0.02:
        return _leaf(random, value)
    holder, key = random.choice(places)
    action = random.randrange(10)
    if action <= 3:
        holder[key] = _leaf(random, holder[key])
    elif action == 4:
        del holder[key]
    elif action == 5:
        other, name = random.choice(places)
        holder[key] = copy.deepcopy(other[name])
    elif action == 6:
        holder[key] = [holder[key]] if random.random() < 0.5 else {"a": holder[key]}
    elif isinstance(holder, dict):
        name = random.choice(("a", "zz", "x_1", key + "x", key[:-1] or "k", key.upper(), "é", ""))
        holder[name] = copy.deepcopy(holder[key])
    elif action == 7:
        holder.insert(key, copy.deepcopy(holder[key]))
    elif action == 8:
        holder.reverse()
    else:
        holder.extend(copy.deepcopy(holder[key]) for _ in range(random.choice((1, 15, 64))) if len(holder) < 200)
    return value


def misspelled(random: Random, text: bytes) -> bytes:
    """Spell JSON in a way that other parsers take for the same."""
    at = random.randrange(len(text) + 1)
    ways = (
        lambda: text[:at] + random.choice((b" ", b"\n", b"\t", b"\0", b"\xef\xbb\xbf", b",", b"/**/")) + text[at:],
        lambda: text.replace(b",", b", ", 1),
        lambda: text.replace(b"{", b'{"a":1,', 1),
        lambda: text.replace(b"1", random.choice((b"1.0", b"1e0", b"01", b"+1", b"-1", b"1_0")), 1),
        lambda: text.replace(b"0", b"-0", 1),
        lambda: text.replace(b"/", b"\\/", 1),
        lambda: text.replace(b'a"', b'\\u0061"', 1),
        lambda: text.replace(b"\\u00e9", "é".encode(), 1),
        lambda: text.replace(b"\\u", b"\\U", 1),
        lambda: text.replace(b"null", random.choice((b"NaN", b"Infinity", b"nul", b"None")), 1),
    )
    return random.choice(ways)()


def bytewise(random: Random, data: bytes) -> bytes:
    """Change bytes as a fuzzer without coverage does: for hypothesis, which has none."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(out) + 1)
        action = random.randrange(5)
        if action == 0 and at < len(out):
            out[at] ^= 1 << random.randrange(8)
        elif action == 1 and at < len(out):
            out[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x2C))
        elif action == 2:
            del out[at : at + random.choice((1, 2, 16, 400))]
        elif action == 3:
            out[at:at] = out[at : at + random.choice((1, 4, 64))]
        else:
            out[at:at] = random.randbytes(random.choice((1, 4, 16)))
    return bytes(out)


def head_bytes(random: Random, data: bytes, raw: Bytewise) -> bytes:
    """Change one part of a head part and mend the lengths before it, mostly."""
    parts = split_head(data)
    if parts is None or random.random() < 0.1:
        return raw(data)
    preamble, *rest = parts
    which = random.choice((0, 1, 1, 1, 2, 2, 4, 4))
    if which == 0:
        at = random.choice((8, 9, 10, 11, 14, 15, 18, 19, 22, 23, 23, 23, 30, 31))
        bent = bytes([random.choice((0, 1, 2, 0xFF, preamble[at] + 1 & 0xFF, preamble[at] - 1 & 0xFF))])
        return (raw(preamble) if random.random() < 0.3 else preamble[:at] + bent + preamble[at + 1 :]) + b"".join(rest)
    rest[which - 1] = json_bytes(random, rest[which - 1], raw)
    return joined_head(preamble, *rest) if random.random() < 0.9 else preamble + b"".join(rest)


def split_head(data: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes] | None:
    """Return preamble, core header, manifest, MAC and signature block, if the lengths allow it."""
    if len(data) < 32:
        return None
    core, manifest, block = struct.unpack(">III", data[12:24])
    ends = [32, 32 + core, 32 + core + manifest, 64 + core + manifest, 64 + core + manifest + block]
    if ends[-1] > len(data):
        return None
    return (data[:32], *(data[start:end] for start, end in pairwise(ends)))


def joined_head(preamble: bytes, core: bytes, manifest: bytes, mac: bytes, block: bytes) -> bytes:
    """Return a head part whose lengths are those of its parts, and the total what the core header then says."""
    size = 64 + len(core) + len(manifest) + len(block)
    lengths = struct.pack(">IIIQ", len(core), len(manifest), len(block), total_size(core, size))
    return (preamble[:12] + lengths)[:32] + core + manifest + mac + block


def total_size(core: bytes, head_part: int) -> int:
    """Return the length of the whole file by its core header, or anything where that says nothing (section 8)."""
    try:
        value = json.loads(core)
        toc, payload, step = (int(value[name]) for name in ("toc_length", "payload_length", "segment_size"))
        full, rest = divmod(payload, step)
        sizes = sum(56 + size + 16 * (size // 16_384 + 1) for size in (toc, *([rest] if rest else [])))
        return (head_part + sizes + full * (56 + step + 16 * (step // 16_384 + 1))) % 2**64
    except (ValueError, TypeError, KeyError, ZeroDivisionError, RecursionError, OverflowError):
        return head_part


def _places(value: Json) -> list[tuple[list | dict, int | str]]:
    """Return every place of a value that can be changed: its holder and the key there."""
    found: list[tuple[list | dict, int | str]] = []
    waiting = [value]
    while waiting and len(found) < 500:
        holder = waiting.pop()
        if isinstance(holder, (list, dict)):
            for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
                found.append((holder, key))
                waiting.append(holder[key])
    return found


def _leaf(random: Random, old: Json) -> Json:
    """Return a value near the old one, or a nasty one."""
    if random.random() < 0.3:
        return copy.deepcopy(random.choice(LEAVES))
    if isinstance(old, bool) or old is None:
        return random.choice((True, False, None, 0, 1))
    if isinstance(old, int):
        return random.choice(
            (old + 1, old - 1, -old, old * 2, old // 2, random.choice(NUMBERS), 1 << random.randrange(64))
        )
    if isinstance(old, str):
        return _text(random, old)[:MOST]
    return random.choice(LEAVES)


def _text(random: Random, old: str) -> str:
    at = random.randrange(len(old) + 1)
    binary = random.randbytes(random.choice((0, 1, 16, 31, 32, 33, 64, 65)))
    ways = (
        old[:at] + old[at + 1 :],
        old[:at] + random.choice("Aaz09_-=+/. \u00e9\0\u2028") + old[at + 1 :],
        old[:at] + random.choice(TEXTS) + old[at:],
        old.swapcase(),
        old + old,
        old[:at],
        old[:-1] + random.choice("ABCDEFGHQgw_-"),  # the end of base64url: bits that must be zero
        base64.urlsafe_b64encode(binary).rstrip(b"=").decode(),
    )
    return random.choice(ways)
