"""`strongroom file inspect`: a sealed file drawn from its head."""

import io
import json
import re
from pathlib import Path

import pytest

from strongroom import sealed
from strongroom.canonical import to_base64url
from strongroom.cli.drawing import draw
from strongroom.signing import ED25519, ML_DSA_65, SigningKey

MIB = 2**20
GOLDEN = Path(__file__).parents[2] / "golden" / "0.1.0"
SIGNERS = [SigningKey.generate(ED25519), SigningKey.generate(ML_DSA_65)]


def head_of(size: int, **how) -> sealed.Head:
    subject = sealed.Subject("ac_secret", "hidden", "1", None)
    source = sealed.Source.of_bytes("secret-name", bytes(size))
    mek = sealed.ModelKey.generate()
    return sealed.seal([source], io.BytesIO(), mek=mek, subject=subject, segment_size=MIB, **how)


def rows(lines: list[str]) -> list[tuple[int, str]]:
    """Offset and name of every part drawn."""
    found = [re.match(r" *(\d+)  \| (.{19})\|", line) for line in lines]
    return [(int(one[1]), one[2].strip()) for one in found if one]


@pytest.mark.parametrize("segments", [0, 1, 4, 5, 6, 40])
@pytest.mark.parametrize("suite", [1, 2])
def test_every_part_stands_where_it_is(segments, suite):
    head = head_of(segments * MIB - 5 if segments else 0, suite=suite, signers=SIGNERS)
    lines = draw(head)
    drawn = rows(lines)
    assert [name for _, name in drawn][:6] == [
        "preamble",
        "core header",
        "manifest",
        "MAC",
        "signatures",
        "segment 0 contents",
    ]
    assert [offset for offset, _ in drawn] == sorted(offset for offset, _ in drawn)
    numbered = [(offset, int(name.removeprefix("segment "))) for offset, name in drawn if name[-1].isdecimal()]
    assert all(head.offset(index) == offset for offset, index in numbered)
    assert (dict(drawn)[head.offset(0)], drawn[0]) == ("segment 0 contents", (0, "preamble"))
    assert (
        len(numbered) == min(segments, 5) if segments < 6 else [index for _, index in numbered] == [1, 2, 3, segments]
    )
    assert any(line.startswith(f"{head.file_size:>13}  +") for line in lines)
    left_out = [line for line in lines if "| ... " in line]
    assert [f"4 to {segments - 1}," in line for line in left_out] == [True] * (segments > 5)
    assert max(map(len, lines)) <= 80
    assert sealed.SUITES[suite].name in lines[1]


def test_who_signed_is_shown_as_a_claim():
    head = head_of(5, signers=SIGNERS)
    text = "\n".join(draw(head))
    assert "says it is signed by" in text
    for one in SIGNERS:
        assert f"{one.alg}" in text
        assert one.public.key_id in text
    assert "signed by nobody" in draw(head_of(5))[-1]


def test_a_file_that_belongs_to_another_names_it(cli):
    head = sealed.read_head(sealed.BytesReadable((GOLDEN / "model.srm").read_bytes()))
    outcome = cli("file", "inspect", GOLDEN / "model-local.srm")
    assert f"origin  {to_base64url(head.core.file_id)}" in outcome.out
    assert "base" not in outcome.out


def test_sizes_are_never_1024_of_a_unit():
    lines = draw(head_of(2 * MIB - 5))
    assert "1024.0" not in "\n".join(lines)


def test_nothing_hidden_is_drawn():
    text = "\n".join(draw(head_of(5, signers=SIGNERS)))
    assert "secret" not in text
    assert "hidden" not in text
    assert text.isascii()


def test_on_the_command_line(cli):
    for name in ("model", "model-suite-2", "model-local"):
        outcome = cli("file", "inspect", GOLDEN / f"{name}.srm")
        assert outcome.code == 0
        assert max(map(len, outcome.out.splitlines())) <= 80
    assert outcome.out.splitlines()[-1].startswith("not signed")


def test_json_keeps_its_shape_and_says_where_things_are(cli):
    value = json.loads(cli("file", "inspect", GOLDEN / "model.srm", "--json").out)
    old = {
        "base",
        "commitment",
        "content",
        "counter",
        "critical",
        "epoch",
        "file_id",
        "head",
        "key_id",
        "kind",
        "origin",
    }
    old |= {"payload_length", "segment_size", "segments", "signatures", "size", "subject", "suite", "toc_length"}
    assert set(value) == old | {"head_part_length", "stored_lengths"}
    assert value["head_part_length"] + sum(value["stored_lengths"]) == value["size"]
    assert len(value["stored_lengths"]) == value["segments"]
