"""What only opening can see: files that are each whole, and do not go together."""

import pytest

from strongroom.errors import Code, IntegrityError


def test_two_files_of_one_model_with_one_path(device, office):
    """Each is the owners' and whole; which of the two a caller would get must not be left to chance."""
    office.publish("pair", "1.0", {"a": b"A"}, {"b": b"B", "a": b"another"}, counter=1)
    room = device.room()
    room.pull("pair")
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught, room.load("pair", offline="only"):
            pass
        assert caught.value.code == Code.FILE_CONTENT
        room.pull("pair", fresh=True)
