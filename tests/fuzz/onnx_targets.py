"""The target in the room `edge`: an ONNX graph with its paths taken out, as onnxruntime is given it (F03, F04).

The oracle is protobuf's own parser, in C, with the fields of onnx.proto3 that lead to a tensor.
"""

import functools
import posixpath
from collections.abc import Iterator
from random import Random

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from fuzz.judging import Target
from fuzz.mutation import Bytewise
from rooms.edge import onnx_by_hand as by_hand
from rooms.edge.onnx_by_hand import external, field, tensor
from strongroom.edge.runtimes.onnx import graph
from strongroom.errors import Code, InputError

LARGE = bytes(range(256)) * 257  # more than is lent
FILES = {"g/w": LARGE, "g/d/small": bytes(range(64)), "g/empty": b"", "other": b"not beside the graph"}
PATH = "g/m.onnx"
STANDING = graph.SPARE + sum(map(len, FILES.values()))
REFUSALS = {InputError: frozenset((Code.RUNTIME,))}
_OF_BITS = {2: (25, 26), 4: (21, 22, 23), 8: (2, 3, 9, 17, 18, 19, 20, 24), 16: (4, 5, 10, 16), 32: (1, 6, 12)}
_OF_BITS |= {64: (7, 11, 13, 14), 128: (15,)}
BITS = {type_: bits for bits, types in _OF_BITS.items() for type_ in types}  # of an element, by TensorProto.DataType

_SCHEMA = {  # message → its fields: number, repeated, type
    "Model": {"graph": (7, False, "Graph"), "training": (20, True, "Training"), "functions": (25, True, "Function")},
    "Training": {"one": (1, False, "Graph"), "two": (2, False, "Graph")},
    "Function": {"nodes": (7, True, "Node"), "attributes": (11, True, "Attribute")},
    "Graph": {"nodes": (1, True, "Node"), "weights": (5, True, "Tensor"), "sparse": (15, True, "Sparse")},
    "Node": {"attributes": (5, True, "Attribute")},
    "Attribute": {
        "tensor": (5, False, "Tensor"),
        "graph": (6, False, "Graph"),
        "tensors": (10, True, "Tensor"),
        "graphs": (11, True, "Graph"),
        "one_sparse": (22, False, "Sparse"),
        "sparse": (23, True, "Sparse"),
    },
    "Sparse": {"values": (1, False, "Tensor"), "indices": (2, False, "Tensor")},
    "Tensor": {
        "dims": (1, True, 3),
        "type": (2, False, 5),
        "name": (8, False, 12),
        "raw": (9, False, 12),
        "external": (13, True, "Entry"),
        "place": (14, False, 5),
    },
    "Entry": {"key": (1, False, 12), "value": (2, False, 12)},
}
_CHILDREN = {
    name: {number: kind for number, _, kind in fields.values() if isinstance(kind, str)}
    for name, fields in _SCHEMA.items()
}


@functools.cache
def model_class() -> type:
    """Return protobuf's own class for a model."""
    made = descriptor_pb2.FileDescriptorProto(name="fuzz.proto", package="fuzz", syntax="proto2")
    for name, fields in _SCHEMA.items():
        kind = made.message_type.add(name=name)
        for own, (number, repeated, type_) in fields.items():
            one = kind.field.add(name=own, number=number, label=3 if repeated else 1)
            if isinstance(type_, str):
                one.type, one.type_name = 11, f".fuzz.{type_}"
            else:
                one.type = type_
    pool = descriptor_pool.DescriptorPool()
    pool.Add(made)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fuzz.Model"))


def judge_onnx(data: bytes) -> None:
    """What is accepted has no path left, and every tensor the bytes it asked for."""
    files = {path: memoryview(one) for path, one in FILES.items()} | {PATH: memoryview(data)}
    found = graph.detach(PATH, files)
    if b"location" not in data:  # nothing is external, whatever a tensor says of itself
        assert found == graph.Detached((files[PATH],), ())
        return
    size = sum(map(len, found.pieces))
    assert size <= 4 * len(data) + STANDING
    lent = {one.name.encode(): one for one in found.shared}
    assert all(len(one.data) >= graph.SHARED_FROM for one in found.shared)
    if size > 2**20:  # ranges that overlap; joined, they would be measured as memory
        return
    whole = b"".join(found.pieces)
    try:
        before, after = model_class().FromString(data), model_class().FromString(whole)
    except DecodeError:  # onnxruntime's parser says the same; what is not on the way to a tensor is left to it
        return
    old, new = list(tensors(before)), list(tensors(after))
    assert len(old) == len(new)
    for was, now in zip(old, new, strict=True):
        assert (was.name, was.dims, was.type) == (now.name, now.dims, now.type)
        if now.place == by_hand.EXTERNAL:
            places = [one.value for one in now.external if one.key == b"location"]
            assert places == [graph.NOWHERE], places
            assert bytes(lent.pop(now.name).data) == asked_for(was)
        else:
            assert not now.external, "a path is left"
            assert now.raw == (asked_for(was) if was.place == by_hand.EXTERNAL else was.raw)
    assert not lent


def asked_for(one) -> bytes:
    """Return what a tensor has in another file, by its own words."""
    said = {entry.key: entry.value for entry in one.external}
    whole = FILES[posixpath.join("g", said[b"location"].decode())]
    offset = int(said.get(b"offset", b"0"))
    bits = BITS[one.type]
    count = functools.reduce(lambda product, dim: product * dim, one.dims, 1)
    size = -(-count * bits // 8)
    assert int(said.get(b"length", size)) == size
    assert offset + size <= len(whole)
    return whole[offset : offset + size]


def tensors(value) -> Iterator:
    """Yield every tensor of a model, in the order of its fields' names."""
    if value.DESCRIPTOR.name == "Tensor":
        yield value
        return
    for name, (_, repeated, kind) in _SCHEMA[value.DESCRIPTOR.name].items():
        if isinstance(kind, str):
            several = getattr(value, name) if repeated else [getattr(value, name)] if value.HasField(name) else []
            for one in several:
                yield from tensors(one)


def seeds() -> list[bytes]:
    """Return graphs with a tensor in every place, of every kind."""
    far = external("far", [64, 256], {"location": "w", "offset": 0, "length": 65_536}, kind=by_hand.FLOAT)
    far16 = external("half", [128, 257], {"location": "w"}, kind=by_hand.BFLOAT16)
    near = external("near", [4], {"location": "d/small", "offset": 8}, kind=by_hand.FLOAT)
    four = external("four", [3], {"location": "d/small", "checksum": "x"}, kind=by_hand.INT4)
    none = external("none", [0, 5], {"location": "empty"})
    own, stray = tensor("own", [1], b"1234"), tensor("s", [1], b"1234") + field(13, field(1, "location"))
    body = by_hand.graph([], [near], [], [])
    attributes = [
        field(1, "a") + field(number, one) + field(20, kind)
        for number, one, kind in ((5, near, 4), (6, body, 5), (10, four, 9), (11, body, 10))
    ]
    sparse = field(15, field(1, near) + field(2, external("i", [2], {"location": "d/small"}, kind=by_hand.INT64)))
    main = by_hand.graph([by_hand.node("If", ["x"], ["y"], *attributes)], [near, own, far, four, none, stray], [], [])
    return [
        by_hand.chain([external("w0", [128, 128], {"location": "w", "offset": 64})], 128),
        by_hand.model(main + sparse),
        by_hand.model(by_hand.graph([], [far, far16], [], [])),
        by_hand.model(b"", field(20, field(1, body)), field(25, field(7, by_hand.node("C", [], ["y"], *attributes)))),
        by_hand.adding([1.0, 2.0]),
    ]


_NUMBERS = (0, 1, 2, 4, 8, 16, 22, 99, 2**31, 2**32 + 1, 2**62, 2**63, 2**64 - 1)
_WORDS = (
    b"location", b"offset", b"length", b"w", b"d/small", b"empty", b"../other", b"/etc/passwd", b".", b"", b"0", b"8",
    b"-1", b"65536", b"9" * 19, b"0x0", b"\xff", b"a" * 5000, b"*/_ORT_MEM_ADDR_/*", "\u0301".encode(),
)  # fmt: skip


def mutate_onnx(random: Random, data: bytes, raw: Bytewise) -> bytes:
    """Change one message on the way to a tensor, and mend the lengths around it, mostly."""
    if random.random() < 0.1:
        return raw(data)
    try:
        return _changed(random, data, "Model", raw)
    except (IndexError, ValueError):
        return raw(data)


def _changed(random: Random, data: bytes, kind: str, raw: Bytewise) -> bytes:
    parts = list(_split(data))
    if not parts:
        return raw(data)
    inner = [at for at, (number, wire, _) in enumerate(parts) if wire == 2 and number in _CHILDREN[kind]]
    if inner and random.random() < 0.85:
        at = random.choice(inner)
        number, wire, content = parts[at]
        child = _CHILDREN[kind][number]
        if random.random() < 0.04:  # within itself, once or many times
            content = _nested(random, content, kind, number)
        else:
            content = _changed(random, content, child, raw)
        parts[at] = (number, wire, content)
    else:
        _edit(random, parts, raw)
    return b"".join(_joined(*one) for one in parts)


def _nested(random: Random, content: bytes, kind: str, number: int) -> bytes:
    """Put an attribute's body around an attribute, or a message beside itself."""
    if kind != "Node" or number != 5:
        return content + content
    for _ in range(random.choice((1, 8, 33, 34, 200))):
        content = field(6, field(1, field(5, content)))
    return content


def _edit(random: Random, parts: list[tuple[int, int, bytes]], raw: Bytewise) -> None:
    at = random.randrange(len(parts))
    number, wire, content = parts[at]
    action = random.randrange(8)
    if action == 0:
        del parts[at]
    elif action == 1:
        parts[at : at + 1] = [parts[at]] * random.choice((2, 3, 17, 40))
    elif action == 2:
        parts.reverse()
    elif action == 3:
        parts[at] = (random.choice((1, 2, 5, 8, 9, 13, 14, 1000)), wire, content)
    elif action == 4:
        parts.insert(at, (random.choice((1, 2, 9, 13, 14)), 0, by_hand.varint(random.choice(_NUMBERS))))
    elif wire == 0:
        parts[at] = (number, 0, by_hand.varint(random.choice(_NUMBERS)))
    else:
        parts[at] = (number, wire, random.choice(_WORDS) if action < 7 else raw(content))


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield a message's fields: number, wire type and content, in a lenient way of its own."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        end = at
        if tag & 7 == 2:
            length, at = _number(data, at)
            end = at + length
        elif tag & 7 == 0:
            end = _number(data, at)[1]
        else:
            end += {1: 8, 5: 4}.get(tag & 7, len(data))
        if end > len(data):
            raise ValueError("no message")
        yield tag >> 3, tag & 7, data[at:end]
        at = end


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def _joined(number: int, wire: int, content: bytes) -> bytes:
    return by_hand.varint(number << 3 | wire) + (by_hand.varint(len(content)) if wire == 2 else b"") + content


TARGETS = (Target("onnx", judge_onnx, REFUSALS, seeds, mutate_onnx, 8_000, 16_384),)
