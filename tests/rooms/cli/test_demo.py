"""The demo's instruments: a search that finds, a measure that counts, a report that notices."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.demo import measure
from strongroom.cli.demo.inventory import in_common
from strongroom.cli.demo.measure import Score
from strongroom.cli.demo.needles import NEEDLE, found_in, needles_of, search, sharp
from strongroom.cli.demo.show import Refusal, Report

MODEL = np.random.default_rng(1).bytes(64 * 1024)
KEY = bytes(range(32))
NEEDLES = needles_of(MODEL, KEY)


@given(before=st.binary(max_size=20), after=st.binary(max_size=20))
def test_a_needle_is_found_at_every_offset(before, after):
    one = min(NEEDLES.model)
    assert found_in(before + one + after, NEEDLES) == 1
    assert found_in(before + one[:-1] + bytes([one[-1] ^ 1]) + after, NEEDLES) == 0


@pytest.mark.parametrize(
    "spelling",
    [KEY, KEY.hex().encode(), KEY.hex().upper().encode(), b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"],
    ids=["raw", "hex", "HEX", "base64url"],
)
def test_the_key_is_found_in_every_spelling(spelling):
    assert found_in(b"log line: " + spelling + b" end", NEEDLES) == 1


def test_a_sealed_model_is_not_the_model():
    assert found_in(os.urandom(len(MODEL)), NEEDLES) == 0


def test_samples_that_say_nothing_are_no_needles():
    """Zeros and repetitions would be found in every database."""
    assert needles_of(bytes(64 * 1024), KEY).model == frozenset()
    assert needles_of(MODEL[:4096] * 16, KEY).model == frozenset()


def test_the_search_knows_that_it_can_find():
    assert sharp(MODEL, KEY, NEEDLES)
    assert not sharp(MODEL, os.urandom(32), NEEDLES)


def test_the_search_looks_at_every_file(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "clean").write_bytes(os.urandom(1000))
    (tmp_path / "deep" / "er" / "leak").write_bytes(b"x" * 7 + MODEL[4096 : 4096 + NEEDLE])
    found = search(tmp_path, NEEDLES)
    assert found.files == 2
    assert found.hits == ("deep/er/leak",)


def test_features_are_both_ends_padded_in_between(tmp_path):
    (tmp_path / "short").write_bytes(b"  ab \n")
    tokens = measure.features(str(tmp_path / "short"))
    assert len(tokens) == 2048
    assert tokens[:4] == [97, 98, 32, 10]
    assert tokens[-2:] == [97, 98]
    assert set(tokens[4:-4]) == {256}


def test_files_are_labelled_and_no_label_dominates():
    files = measure.labelled_files()
    labels = [label for _, label in files]
    assert len(files) >= 200
    assert max(labels.count(label) for label in set(labels)) <= measure.MOST_PER_LABEL


def test_a_difference_is_noticed():
    """A demo that cannot fail shows nothing."""
    report = Report(quiet=True)
    report.refused(Refusal("held", ("proof",), "proof", "Unauthorized"))
    report.check(holds=True, otherwise="")
    assert report.to_value()["ok"] is True
    report.refused(Refusal("not held", ("proof",), "", "it was not refused"))
    report.refused(Refusal("wrong check", ("proof",), "not-found", "Not Found"))
    report.check(holds=False, otherwise="the answers differ")
    assert len(report.differences) == 3
    assert report.to_value()["ok"] is False


def test_scores_are_compared_answer_by_answer():
    assert Score(5, 10, "aa") != Score(5, 10, "bb")
    assert Score(5, 10, "aa").share == "50.0 %"


def test_ciphertexts_are_laid_side_by_side():
    assert in_common(MODEL, MODEL) > 100
    assert in_common(MODEL, os.urandom(len(MODEL))) == 0
