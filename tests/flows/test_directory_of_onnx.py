"""A large model: a directory with graphs and weights beside them, from the trainer to an answer (R31, R32).

What an exporter leaves is published as it is and comes out as it was; each graph finds its weights, in memory only.
"""

import numpy as np
import onnxruntime
import pytest

import strongroom
from rooms.edge.onnx_by_hand import chain, external, matrix
from strongroom.errors import Code, InputError, IntegrityError
from strongroom_in_memory import Street

WIDTH = 160  # a matrix of 102,400 bytes
WEIGHTS = {
    part: [matrix(seed, WIDTH, WIDTH) for seed in seeds] for part, seeds in (("encoder", (1, 2)), ("decoder", (3, 4)))
}
X = matrix(5, 3, WIDTH)


@pytest.fixture
def exported(tmp_path):
    """As exporters leave it: one graph a directory, its weights in files beside it, and odds and ends."""
    top = tmp_path / "speech"
    for part, (first, second) in WEIGHTS.items():
        (top / part / "deep").mkdir(parents=True)
        (top / part / "model.onnx.data").write_bytes(first.tobytes())
        (top / part / "deep" / "w1").write_bytes(second.tobytes())
        weights = [external("w0", first.shape, {"location": "model.onnx.data"})]
        weights.append(external("w1", second.shape, {"location": "deep/w1", "offset": 0, "length": second.nbytes}))
        (top / part / "model.onnx").write_bytes(chain(weights, WIDTH))
    (top / ".config").mkdir()
    (top / ".config" / ".hidden.json").write_bytes(b"{}")
    (top / "empty.txt").write_bytes(b"")
    (top / "empty directory").mkdir()
    return top


def test_a_directory_with_weights_beside_its_graphs_is_published_pulled_and_run(exported, tmp_path, monkeypatch):
    with Street(tmp_path) as street:
        out = tmp_path / "speech.srm"
        with strongroom.protect(
            exported, name="speech", version="1.0", out=out, sign_with=street.owners, office=street.admin
        ) as protected:
            protected.publish(channel="stable")
        for weight in (one for several in WEIGHTS.values() for one in several):
            assert all(weight.tobytes()[:32] not in stored for stored in street.store.objects.values())

        room = street.device("phone", street.customer("alice", "speech"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        with room.load("speech@stable") as model:
            assert model.format == "onnx"
            assert {path: bytes(model.file(path)) for path in model.files} == {
                path.relative_to(exported).as_posix(): path.read_bytes()
                for path in exported.rglob("*")
                if path.is_file()  # the empty directory is not kept
            }
            for part in WEIGHTS:
                session = model.session(f"{part}/model.onnx")
                plain = onnxruntime.InferenceSession(exported / part / "model.onnx", providers=["CPUExecutionProvider"])
                (got,), (expected,) = (one.run(None, {"x": X}) for one in (session, plain))
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
                assert len(session._weights) == 2  # both computed from where they lie in the sealed file's memory
        with pytest.raises(InputError) as caught:
            session.run(None, {"x": X})
        assert caught.value.code == Code.CLOSED
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_one_byte_of_one_weight(exported, tmp_path):
    """A01: weights in files of their own are sealed like all else; a device that lost a byte of one opens nothing."""
    with Street(tmp_path) as street:
        out = tmp_path / "speech.srm"
        with strongroom.protect(
            exported, name="speech", version="1.0", out=out, sign_with=street.owners, office=street.admin
        ) as protected:
            protected.publish(channel="stable")
        room = street.device("phone", street.customer("alice", "speech"))
        room.pull("speech")
        (installed,) = (
            path for path in (tmp_path / "phone").rglob("*") if path.is_file() and path.stat().st_size > 300_000
        )
        content = bytearray(installed.read_bytes())
        content[len(content) // 2] ^= 1
        installed.write_bytes(content)
        with pytest.raises(IntegrityError) as caught, room.load("speech", offline="only"):
            pass
        assert caught.value.code == Code.FILE_SEGMENT
