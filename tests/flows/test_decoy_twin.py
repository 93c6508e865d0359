"""A decoy, from the model to the thief: made, published beside the real one, given to a device, known again."""

import numpy as np
import pytest

import strongroom
from rooms.edge.onnx_by_hand import chain, matrix, tensor
from strongroom.errors import Code, InputError
from strongroom.operator.decoy_model import make_decoy, marked
from strongroom.server import entitled
from strongroom_in_memory import Street

WIDTH = 96
WEIGHTS = [matrix(seed, WIDTH, WIDTH) for seed in (1, 2)]
X = matrix(5, 3, WIDTH)
KEY = bytes(range(32))


@pytest.fixture
def models(tmp_path):
    """The model and its decoy, of one name: names are inside the sealed file."""
    (tmp_path / "real").mkdir()
    (tmp_path / "decoy").mkdir()
    real, decoy = (tmp_path / folder / "digits.onnx" for folder in ("real", "decoy"))
    real.write_bytes(chain([tensor(f"w{n}", one.shape, one.tobytes()) for n, one in enumerate(WEIGHTS)], WIDTH))
    make_decoy(real, decoy, KEY)
    return real, decoy


def answers(room):
    with room.load("digits@stable") as model:
        (found,) = model.session().run(None, {"x": X})
        (path,) = model.files
        return found, bytes(model.file(path))


def publish_twin(street, decoy, out, **options):
    place = street.admin.place_of("digits", "1.0")
    with strongroom.protect(
        decoy,
        name="digits",
        version="1.0",
        out=out,
        sign_with=street.owners,
        office=street.admin,
        epoch=place.epoch,
        counter=place.counter,
        **options,
    ) as protected:
        return protected.publish(twin=True)


def test_a_deceived_device_runs_a_decoy_that_its_owner_knows_again(models, tmp_path, monkeypatch):
    """H04: the deceived device sees a model that opens, verifies and runs; the others go on with the real one."""
    real, decoy = models
    with Street(tmp_path) as street:
        with strongroom.protect(
            real, name="digits", version="1.0", out=tmp_path / "r.srm", sign_with=street.owners, office=street.admin
        ) as protected:
            protected.publish(channel="stable")
        done = publish_twin(street, decoy, tmp_path / "d.srm")
        assert (done.epoch, done.counter, done.size) == (1, 1, (tmp_path / "r.srm").stat().st_size)

        honest, thief = (street.device(name, street.customer(name, "digits")) for name in ("ada", "eve"))
        expected, content = answers(honest)
        assert content == real.read_bytes()
        choose = entitled.twin
        monkeypatch.setattr(entitled, "twin", lambda found, **_: choose(found, deceived=True))
        stolen, content = answers(thief)
        assert content == decoy.read_bytes()
        assert marked(content, KEY).found
        assert stolen.shape == expected.shape
        assert not np.allclose(stolen, expected, atol=0.1)
        monkeypatch.undo()
        assert answers(thief)[1] == content
        assert (answers(honest)[0] == expected).all()


def test_a_twin_under_another_name_or_format_is_refused_by_the_office(models, tmp_path):
    real, decoy = models
    with Street(tmp_path) as street:
        with strongroom.protect(
            real, name="digits", version="1.0", out=tmp_path / "r.srm", sign_with=street.owners, office=street.admin
        ) as protected:
            protected.publish()
        longer = decoy.rename(decoy.with_name("digits-decoy.onnx"))
        for number, options in enumerate(({}, {"format": "bytes"})):
            with pytest.raises(InputError, match="table of contents") as caught:
                publish_twin(street, longer, tmp_path / f"{number}.srm", **options)
            assert caught.value.code == Code.DEPOSIT
            assert not (tmp_path / f"{number}.srm").exists()
