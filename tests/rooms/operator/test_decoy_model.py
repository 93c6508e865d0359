"""Decoy models: as large and as named as the real ones, they run, are worth little, and are known by their key."""

import io
import json
import math
from collections import Counter

import numpy as np
import onnxruntime
import pytest

from rooms.edge import onnx_by_hand as by_hand
from strongroom.errors import Code, InputError, SetupError
from strongroom.operator import decoy_mark, weights
from strongroom.operator.decoy_model import decoy_key, make_decoy, marked, read_decoy_key

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
CLASSES, WIDE, HIDDEN = 10, 64, 512


@pytest.fixture(scope="module")
def digits():
    """A small classifier that is right about nearly everything, and what it is asked."""
    rng = np.random.default_rng(1)
    ideal = rng.standard_normal((CLASSES, WIDE))

    def drawn(count):
        labels = rng.integers(0, CLASSES, count)
        return (ideal[labels] + 1.1 * rng.standard_normal((count, WIDE))).astype(np.float32), labels

    x, labels = drawn(4000)
    first = (rng.standard_normal((WIDE, HIDDEN)) / 8).astype(np.float32)
    hidden = np.maximum(x @ first, 0)
    target = hidden.T @ np.eye(CLASSES)[labels]
    second = np.linalg.solve(hidden.T @ hidden + 0.1 * np.eye(HIDDEN), target).astype(np.float32)
    return first, second, drawn(2000)


def classifier(digits, first, second):
    nodes = [by_hand.node(*one) for one in (("MatMul", ["x", "a"], ["h"]), ("Relu", ["h"], ["r"]))]
    nodes.append(by_hand.node("MatMul", ["r", "b"], ["y"]))
    ends = [by_hand.value("x", [0, WIDE])], [by_hand.value("y", [0, CLASSES])]
    return by_hand.model(by_hand.graph(nodes, [first, second], *ends))


@pytest.fixture
def model(digits, tmp_path):
    first, second, _ = digits
    path = tmp_path / "digits.onnx"
    tensors = (by_hand.tensor(name, one.shape, one.tobytes()) for name, one in (("a", first), ("b", second)))
    path.write_bytes(classifier(digits, *tensors))
    return path


def right(path, digits):
    x, labels = digits[2]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return float((session.run(None, {"x": x})[0].argmax(1) == labels).mean())


def entropy(data):
    counts = Counter(data)
    return -sum(one / len(data) * math.log2(one / len(data)) for one in counts.values())


def test_a_decoy_opens_runs_and_is_worth_less_the_more_is_damaged(model, digits, tmp_path):
    """H04: it answers, better than chance and worse than the model; wholly damaged it is no better than chance."""
    found = [right(model, digits)]
    for share in (0.2, 0.3, 1.0):
        out = tmp_path / f"{share}.onnx"
        made = make_decoy(model, out, KEY, share=share)
        assert abs(made.damaged / made.numbers - share) < 0.01
        found.append(right(out, digits))
    real, slightly, usual, wholly = found
    assert real > 0.98
    assert real > slightly > usual > 0.3 > wholly
    assert wholly < 0.2


def test_a_decoy_has_the_family_s_header_size_and_entropy(model, tmp_path):
    """H04: every byte that is no weight is as it was, and the weights are the same numbers in other places."""
    out = tmp_path / "decoy.onnx"
    make_decoy(model, out, KEY)
    real, decoy = model.read_bytes(), out.read_bytes()
    assert len(real) == len(decoy) != 0
    assert real != decoy
    runs = weights.find({"m.onnx": memoryview(real)})
    assert [run.count for run in runs] == [WIDE * HIDDEN, HIDDEN * CLASSES]
    outside = bytearray(real), bytearray(decoy)
    for run in runs:
        one, other = (np.frombuffer(data[run.offset : run.end], "<f4") for data in (real, decoy))
        assert (np.sort(one) == np.sort(other)).all()
        assert 0.65 < (one == other).mean() < 0.75
        for data in outside:
            data[run.offset : run.end] = bytes(run.end - run.offset)
    assert outside[0] == outside[1]
    assert abs(entropy(real) - entropy(decoy)) < 1e-9


def test_a_mark_accuses_its_own_decoy_and_no_other_model(model, tmp_path):
    """H04: found in the decoy by its key alone; not in 1,000 models that bear none, nor by 1,000 other keys."""
    out = tmp_path / "decoy.onnx"
    make_decoy(model, out, KEY)
    assert marked(out, KEY).z > 40
    assert marked(out, KEY).found
    assert marked(out.read_bytes(), KEY) == marked(out, KEY)
    assert not marked(model, KEY).found
    assert not marked(out, OTHER).found

    data = np.zeros(2048, np.float32)
    run = weights.find({"w.npy": memoryview(saved(data))})
    rng = np.random.default_rng(2)
    seen = [decoy_mark.read({"w.npy": memoryview(saved(rng.standard_normal(2048)))}, run, KEY) for _ in range(1000)]
    assert not any(one.found for one in seen)
    z = np.array([one.z for one in seen])
    assert abs(z.mean()) < 0.15  # a fair coin
    assert 0.9 < z.std() < 1.1
    keys = (rng.bytes(32) for _ in range(1000))
    files = {"m.onnx": memoryview(out.read_bytes()[: 200 + 4 * 64 * 64])}
    block = weights.Run("m.onnx", 200, 4096, run[0].kind)
    assert max(decoy_mark.read(files, [block], one).z for one in keys) < decoy_mark.CERTAIN


def saved(array):
    file = io.BytesIO()
    np.save(file, array.astype(np.float32))
    return file.getvalue()


def test_a_mark_lasts_through_noise_pruning_rounding_and_another_format(model, tmp_path):
    out = tmp_path / "decoy.onnx"
    make_decoy(model, out, KEY)
    data = out.read_bytes()
    first, second = (np.frombuffer(data[run.offset : run.end], "<f4") for run in weights.find({"m.onnx": data}))
    rng = np.random.default_rng(3)

    def noisy(one):
        return one + 0.2 * one.std() * rng.standard_normal(one.size)

    def pruned(one):
        return np.where(np.abs(one) < np.quantile(np.abs(one), 0.3), 0, one)

    def rounded(one):
        return np.round(one / np.abs(one).max() * 127).astype(np.int8)

    for number, change in enumerate((noisy, pruned, rounded)):
        path = tmp_path / f"{number}.npz"
        changed = [change(one) for one in (first, second)]
        np.savez(path, *[one if one.dtype == np.int8 else one.astype(np.float16) for one in changed])
        assert marked(path, KEY).found, change.__name__
        assert not marked(path, OTHER).found


def test_numbers_of_every_width_keep_their_file_sound(tmp_path):
    """Safetensors, .npy and .npz of half, single and double precision and bytes: read by the real readers after it."""
    rng = np.random.default_rng(4)
    kinds = {"f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "u1": "U8"}
    arrays = {name: (30 * rng.standard_normal((40, 50))).astype(name) for name in kinds}
    top = tmp_path / "model"
    top.mkdir()
    np.savez(top / "a.npz", **arrays)
    np.save(top / "b.npy", arrays["f4"])
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, one in arrays.items():
        place = [len(body), len(body) + one.nbytes]
        header[name] = {"dtype": kinds[name], "shape": list(one.shape), "data_offsets": place}
        body += one.tobytes()
    text = json.dumps(header).encode()
    (top / "c.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    (top / "labels.txt").write_text("zero one two")
    out = tmp_path / "decoy"
    made = make_decoy(top, out, KEY, share=0.5)
    assert (made.tensors, made.copied) == (11, ("labels.txt",))
    assert {one.name: one.stat().st_size for one in out.iterdir()} == {
        one.name: one.stat().st_size for one in top.iterdir()
    }
    with np.load(out / "a.npz") as archive:  # checks the checksums
        found = [archive[name] for name in arrays]
    data = (out / "c.safetensors").read_bytes()
    assert data[: 8 + len(text)] == (top / "c.safetensors").read_bytes()[: 8 + len(text)]
    at = 8 + len(text)
    for one in arrays.values():
        found.append(np.frombuffer(data[at : at + one.nbytes], one.dtype).reshape(one.shape))
        at += one.nbytes
    found.append(np.load(out / "b.npy"))
    for one, real in zip(found, [*arrays.values(), *arrays.values(), arrays["f4"]], strict=True):
        assert (one.dtype, one.shape) == (real.dtype, real.shape)
        assert (np.sort(one, axis=None) == np.sort(real, axis=None)).all()
        assert 0.4 < (one != real).mean() < 0.55
    assert marked(out, KEY).found
    assert not marked(top, KEY).found


def test_weights_beside_a_graph_are_damaged_where_they_lie(digits, tmp_path):
    first, second, _ = digits
    top = tmp_path / "model"
    (top / "w").mkdir(parents=True)
    (top / "w" / "all").write_bytes(b"#" * 64 + first.tobytes() + second.tobytes())
    places = ({"location": "w/all", "offset": 64}, {"location": "w/all", "offset": 64 + first.nbytes})
    tensors = [by_hand.external(n, one.shape, at) for n, one, at in zip("ab", (first, second), places, strict=True)]
    (top / "digits.onnx").write_bytes(classifier(digits, *tensors))
    made = make_decoy(top, tmp_path / "decoy", KEY)
    assert made.copied == ("digits.onnx",)
    assert (tmp_path / "decoy" / "w" / "all").read_bytes()[:64] == b"#" * 64
    assert 0.3 < right(tmp_path / "decoy" / "digits.onnx", digits) < right(top / "digits.onnx", digits)
    assert marked(tmp_path / "decoy", KEY).found


def test_what_is_too_short_stays_and_what_two_graphs_share_is_damaged_once(digits, tmp_path):
    """Scales and shapes are short tensors; an encoder and a decoder may have one file of weights."""
    first, second, _ = digits
    top = tmp_path / "model"
    top.mkdir()
    (top / "all").write_bytes(first.tobytes())
    short = np.arange(weights.FEWEST - 1, dtype=np.float32)
    np.save(top / "short.npy", short)
    outside = by_hand.external("a", first.shape, {"location": "all"})
    inside = by_hand.tensor("b", second.shape, second.tobytes())
    for name in ("encoder.onnx", "decoder.onnx"):
        (top / name).write_bytes(classifier(digits, outside, inside))
    made = make_decoy(top, tmp_path / "decoy", KEY, share=1.0)
    assert made.numbers == first.size + 2 * second.size
    assert (np.load(tmp_path / "decoy" / "short.npy") == short).all()
    mark = marked(tmp_path / "decoy", KEY)
    assert mark.pairs == mark.fitting > 2000


def test_what_may_hold_weights_is_never_copied_unasked(model, tmp_path):
    top = tmp_path / "model"
    top.mkdir()
    (top / "digits.onnx").write_bytes(model.read_bytes())
    for name, data in (("extra.pt", b"x"), ("blob", bytes(2_000_000))):
        (top / name).write_bytes(data)
        with pytest.raises(InputError, match="real thing"):
            make_decoy(top, tmp_path / "decoy", KEY)
        assert not [one for one in tmp_path.iterdir() if "decoy" in one.name]
        made = make_decoy(top, tmp_path / f"with {name}", KEY, as_is=[name])
        assert made.copied == (name,)
        (top / name).unlink()


BROKEN = {
    "m.onnx": b"\x0f nothing that is a message",
    "cut.onnx": by_hand.model(by_hand.graph([], [by_hand.tensor("w", [9, 9], bytes(40))], [], [])),
    "gone.onnx": by_hand.model(by_hand.graph([], [by_hand.external("w", [9, 9], {"location": "../up"})], [], [])),
    "m.safetensors": (99).to_bytes(8, "little") + b"{}",
    "n.safetensors": (28).to_bytes(8, "little") + b'{"w":{"dtype":"F32"}}       ',
    "m.npy": b"\x93NUMPY\x01\x00\x10\x00not a header....",
    "m.npz": b"PK\x03\x04 and no more",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_not_what_its_name_says_is_refused_and_nothing_is_left(name, tmp_path):
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(InputError) as refused:
        make_decoy(tmp_path / name, tmp_path / "out", KEY)
    assert refused.value.code == Code.ARGUMENT
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_compressed_archive_a_share_and_a_taken_name_are_refused(model, tmp_path):
    np.savez_compressed(tmp_path / "c.npz", np.ones(100))
    for source, out, share, why in (
        ("c.npz", "x", 0.3, "is compressed"),
        ("digits.onnx", "x", 0.05, "not 0.05"),
        ("digits.onnx", "x", float("nan"), "not nan"),
        ("digits.onnx", "digits.onnx", 0.3, "a file here already"),
    ):
        with pytest.raises(InputError, match=why):
            make_decoy(tmp_path / source, tmp_path / out, KEY, share=share)
    assert not (tmp_path / "x").exists()


def test_a_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "d.key"
    assert decoy_key(path, KEY) == (KEY, True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert decoy_key(path, OTHER) == (KEY, False)
    path.chmod(0o644)
    with pytest.raises(SetupError):
        read_decoy_key(path)
    (tmp_path / "no.key").write_bytes(b"short\n")
    (tmp_path / "no.key").chmod(0o600)
    with pytest.raises(InputError, match="not a decoy key"):
        read_decoy_key(tmp_path / "no.key")
