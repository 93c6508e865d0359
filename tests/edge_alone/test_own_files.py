"""The client as it is delivered knows its own files: a real wheel, installed by a real installer (R77)."""

from pathlib import Path

LOOK = "from strongroom.edge.tamper import looking; print(looking.look().app_sig)"


def test_an_installed_wheel_is_what_it_was(device):
    assert device.script(LOOK).split() == ["ok"]


def test_an_edited_module_is_seen(device):
    """R77: whoever edits the installed client is told on, by the hashes that its installer wrote down."""
    place = "import strongroom, pathlib; print(pathlib.Path(strongroom.__file__).parent)"
    (folder,) = device.script(place).split()
    path = Path(folder) / "edge" / "opening.py"
    text = path.read_bytes()
    path.write_bytes(text + b"\n")
    try:
        assert device.script(LOOK).split() == ["bad"]
    finally:
        path.write_bytes(text)
    assert device.script(LOOK).split() == ["ok"]
