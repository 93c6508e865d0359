"""How long until a large ONNX model gives its first answer, against onnxruntime alone with the plaintext on disk?

The model is a row of square matrices, its weights in one file beside the graph. Opening the device's copy, making the
session and one run of batch 1 are in the window; imports are not. Peak memory counts the pages that onnxruntime maps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from material import LOCAL, LOCAL_KEY, MODEL_KEY, ORIGIN, OWNER, OWNERS, SEALED, SUBJECT, keep_local
from rounds import Goal, Question, Row, main
from strongroom import sealed
from strongroom.edge.memory import PrivateBuffer
from strongroom.edge.runtimes import onnx
from strongroom.edge.runtimes.onnx.protobuf import header, varint
from strongroom.operator.protect import aligned
from window import Work

MODEL, GRAPH, WEIGHTS, ANSWER = "model", "model.onnx", "model.onnx.data", "answer.npy"
WIDTH = 1024
MATRIX = WIDTH * WIDTH * 4  # bytes
CPU = ["CPUExecutionProvider"]


@contextmanager
def exported(folder: Path, size: int) -> Iterator[None]:
    """Make the model, seal it, and keep the copy of a device."""
    top, count = folder / MODEL, size // MATRIX
    top.mkdir()
    random, hidden = np.random.default_rng(1), _x()
    with (top / WEIGHTS).open("wb") as file:
        for _ in range(count):
            matrix = random.standard_normal((WIDTH, WIDTH), np.float32) / np.float32(WIDTH**0.5)
            file.write(matrix.tobytes())
            hidden = hidden @ matrix
    np.save(folder / ANSWER, hidden)
    (top / GRAPH).write_bytes(_graph(count))
    with (folder / SEALED).open("w+b") as sink:
        key = sealed.ModelKey(MODEL_KEY)
        sealed.seal(aligned(sealed.sources_of(top)), sink, mek=key, subject=SUBJECT, signers=[OWNER])
    keep_local(folder)
    yield


def alone(folder: Path, *, packing: bool) -> Work:
    """Run the plaintext by its path, as onnxruntime does."""

    def run() -> Any:  # noqa: ANN401 - the answer and the session
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.disable_prepacking", "0" if packing else "1")
        session = onnxruntime.InferenceSession(folder / MODEL / GRAPH, options, providers=CPU)
        return session.run(None, {"x": _x()}), session

    return Work(run, partial(_right, folder))


def from_sealed(folder: Path, *, shared: bool) -> Work:
    """Open the device's copy and run it from memory."""
    kept: list[PrivateBuffer] = []

    def allocate(size: int) -> memoryview:
        kept.append(PrivateBuffer(size))
        return kept[0].view

    def run() -> Any:  # noqa: ANN401 - the answer and the session
        with sealed.FileReadable.open(folder / LOCAL) as readable:
            opened = sealed.open_local(
                readable,
                sealed.ModelKey(LOCAL_KEY),
                subject=SUBJECT,
                owners=OWNERS,
                origin_head=(folder / ORIGIN).read_bytes(),
                allocate=allocate,
            )
        files = {entry.path: kept[0].lend(opened.file(entry.path)) for entry in opened.toc.files}
        session = onnx.open_session(files, {} if shared else {"sess_options": onnxruntime.SessionOptions()})
        return session.run(None, {"x": _x()}), session

    return Work(run, partial(_right, folder))


def _right(folder: Path, result: Any) -> bool:  # noqa: ANN401 - what `run` gave
    return np.allclose(result[0][0], np.load(folder / ANSWER), rtol=1e-2, atol=1e-3)


def _x() -> Any:  # noqa: ANN401 - an array
    return np.ones((1, WIDTH), np.float32)


def _graph(count: int) -> bytes:
    names = ["x", *(f"h{index}" for index in range(1, count)), "y"]
    parts: list[bytes] = []
    for index in range(count):
        node = (*_text(1, names[index]), *_text(1, f"w{index}"), *_text(2, names[index + 1]), *_text(4, "MatMul"))
        parts += _message(1, *node)
        entries = {"location": WEIGHTS, "offset": str(index * MATRIX), "length": str(MATRIX)}
        pairs = [part for key, value in entries.items() for part in _message(13, *_text(1, key), *_text(2, value))]
        dims = [_number(1, WIDTH), _number(1, WIDTH), _number(2, 1)]
        parts += _message(5, *dims, *_text(8, f"w{index}"), *pairs, _number(14, 1))
    shape = _message(2, *_message(1, _number(1, 1)), *_message(1, _number(1, WIDTH)))
    for number, name in ((11, "x"), (12, "y")):
        parts += _message(number, *_text(1, name), *_message(2, *_message(1, _number(1, 1), *shape)))
    return b"".join([_number(1, 9), *_message(7, *_text(2, "g"), *parts), *_message(8, _number(2, 19))])


def _message(number: int, *parts: bytes) -> tuple[bytes, ...]:
    return header(number, sum(map(len, parts))), *parts


def _text(number: int, text: str) -> tuple[bytes, ...]:
    return _message(number, text.encode())


def _number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


QUESTION = Question(
    name="onnx",
    title="The first answer of a large ONNX model, against onnxruntime with the plaintext by path",
    script="load_onnx.py",
    made=exported,
    base="path",
    rows=(
        Row("path", "onnxruntime, plaintext by path", partial(alone, packing=True)),
        Row("path-unpacked", "the same without prepacking: it maps the file", partial(alone, packing=False)),
        Row("sealed", "strongroom, weights shared (the default)", partial(from_sealed, shared=True)),
        Row("sealed-copied", "strongroom, weights copied and packed", partial(from_sealed, shared=False)),
    ),
    goals=(
        Goal("CPU at most 0.8 of the plaintext by path", "sealed", "cpu", 0.8, "path"),
        Goal("peak memory at most 1.1 of the size", "sealed", "peak", 1.1),
    ),
)

if __name__ == "__main__":
    main(QUESTION)
