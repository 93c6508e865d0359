"""`strongroom store`: downloads that were begun are seen, and wiped like anything else."""

import pytest

from rooms.edge.cutting_office import CuttingOffice
from rooms.edge.memory_office import Device, weights
from strongroom.cli import places
from strongroom.edge import links
from strongroom.errors import UnreachableError

MIB = 2**20


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A device with one model installed and another on its way."""
    monkeypatch.setattr(links, "PAUSE", 0)
    office = CuttingOffice()
    office.publish("other", "2.0", {"w": b"other"}, counter=1)
    office.publish("digits", "1.0", {"w": weights(1, 3 * MIB)}, counter=1)
    device = Device(tmp_path / "device", office)
    device.room().pull("other")
    office.cuts, office.outright = [office.fetched + 2 * MIB], lambda _: True
    with pytest.raises(UnreachableError):
        device.room().pull("digits")
    monkeypatch.setattr(places, "room", lambda home: device.room(token=None))
    return device


def test_list_shows_how_much_is_there(cli, device):
    before = {path: path.read_bytes() for path in device.home.rglob("*") if path.is_file()}
    ready, begun = cli("store", "list", "--json").json["models"]
    assert (ready["model"], ready["state"]) == ("other", "ready")
    assert (begun["model"], begun["version"], begun["selectors"], begun["state"]) == ("digits", "1.0", [], "partial")
    taken = sum(one.stat().st_size for one in device.home.glob("incoming/*/*"))
    assert abs(begun["size"] - taken) < 65_536
    assert begun["size"] > 1.9 * MIB
    lines = cli("store", "list").out.splitlines()
    assert lines[2].split() == ["digits", "1.0", str(begun["size"]), "partial"]
    assert {path: path.read_bytes() for path in device.home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("named", [["digits"], ["digits@1.0"], ["--all"]], ids=" ".join)
def test_wipe_destroys_what_was_begun(cli, device, named):
    """C16: by its name, by its version, or with everything; its key and its bytes are gone."""
    (partial,) = device.room(token=None).store.need().partials
    done = cli("store", "wipe", *named, "--yes", "--json")
    assert {"model": "digits", "version": "1.0"} in done.json["wiped"]
    left = 0 if named == ["--all"] else 1
    assert device.counts() == (left, left, 0)
    assert not (device.home / "keystore" / f"{partial.files[0].key}.key").exists()


def test_wiping_another_version_leaves_it(cli, device):
    assert cli("store", "wipe", "digits@0.9", "--yes").code == 1
    assert cli("store", "wipe", "other", "--yes").code == 0
    assert device.counts() == (0, 1, 1)
