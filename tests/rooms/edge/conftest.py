"""An office with one published model, and a device beside it."""

from pathlib import Path

import pytest

from rooms.edge.memory_office import Device, MemoryOffice, weights


@pytest.fixture
def office() -> MemoryOffice:
    office = MemoryOffice()
    office.publish("digits", "1.0", {"weights.bin": weights(1), "labels/names.txt": b"one\ntwo"}, counter=1)
    return office


@pytest.fixture
def device(tmp_path: Path, office: MemoryOffice) -> Device:
    return Device(tmp_path / "device", office)
