"""What runs a model: ONNX Runtime from memory, and no runtime at all."""

import sys

import pytest

from rooms.edge.onnx_by_hand import adding
from strongroom.edge import runtimes
from strongroom.edge.runtimes import onnx
from strongroom.errors import Code, InputError, SetupError

MODEL = adding([1.0, 2.0, 3.0])


def test_three_lines(device, office):
    """R31: with room.load(…) as model: model.session()."""
    numpy = pytest.importorskip("numpy")
    office.publish("adder", "1.0", {"adder.onnx": MODEL}, counter=1, format_="onnx")
    with device.room().load("adder@stable") as model:
        session = model.session()
        assert type(session).__name__ == "InferenceSession"
        (out,) = session.run(None, {"x": numpy.array([10, 20, 30], numpy.float32)})
        assert out.tolist() == [11.0, 22.0, 33.0]
        assert session._model_bytes is None
        assert model.format == "onnx"
    (again,) = session.run(None, {"x": numpy.array([0, 0, 0], numpy.float32)})
    assert again.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(InputError) as caught:
        model.session()
    assert caught.value.code == Code.CLOSED


def test_the_transient_copy_is_wiped(monkeypatch):
    """D08: what onnxruntime was handed holds zeros afterwards, also when it refused."""
    import onnxruntime

    handed = []
    real = onnxruntime.InferenceSession.__init__

    def spy(session, graph, **options):
        handed.append(graph)
        real(session, graph, **options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", spy)
    onnx.open_session({"m.onnx": memoryview(MODEL)}, {})
    with pytest.raises(InputError) as caught:
        onnx.open_session({"m.onnx": memoryview(b"not a model at all")}, {})
    assert caught.value.code == Code.RUNTIME
    assert caught.value.next_step
    assert [set(one) for one in handed] == [{0}, {0}]


@pytest.mark.parametrize(
    "files",
    [{}, {"a.onnx": b"aa", "b.onnx": b"bb"}, {"a.bin": b"aa", "b.bin": b"bb"}],
    ids=["none", "two graphs", "no graph"],
)
def test_what_is_no_single_graph_is_refused(files):
    with pytest.raises(InputError) as caught:
        onnx.open_session({path: memoryview(data) for path, data in files.items()}, {})
    assert caught.value.code == Code.RUNTIME
    assert caught.value.next_step


def test_a_missing_extra_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SetupError) as caught:
        runtimes.open_session("onnx", {"m.onnx": memoryview(MODEL)}, {})
    assert caught.value.code == Code.MISSING_EXTRA
    assert caught.value.next_step == 'pip install "strongroom[onnx]"'


def test_an_unknown_format_still_gives_its_bytes(device, office):
    office.publish("thing", "1.0", {"thing.xyz": b"thing"}, counter=1, format_="xyz")
    with device.room().load("thing") as model:
        with pytest.raises(InputError) as caught:
            model.session()
        assert caught.value.code == Code.RUNTIME
        assert model.bytes() == b"thing"


def test_import_is_cheap():
    """R20 of the house: `import strongroom` brings neither network nor cryptography, nor a runtime."""
    import subprocess

    code = (
        "import sys, strongroom; strongroom.__version__; dir(strongroom);"
        "heavy = {'urllib3', 'cryptography', 'onnxruntime', 'numpy', 'ssl'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "assert strongroom.connect.__module__ == 'strongroom.edge.client';"
        "assert 'onnxruntime' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
