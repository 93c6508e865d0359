"""What `pip install strongroom` gives a device: little, and nothing of the server (R22; docs/decisions/0002)."""

import json
import zipfile

import pytest

MOST_DISTRIBUTIONS = 7
SERVER_PACKAGES = [
    "aiosqlite", "alembic", "fastapi", "joserfc", "numpy", "onnxruntime", "pydantic", "sqlalchemy", "starlette",
    "structlog", "uvicorn",
]  # fmt: skip


def test_few_distributions(device):
    names = json.loads(
        device.script(
            "import json; from importlib.metadata import distributions as all\n"
            "print(json.dumps(sorted(one.metadata['Name'].lower() for one in all())))"
        )
    )
    ours = set(names) - {"pip", "setuptools"}
    assert {"strongroom", "cryptography", "urllib3", "click"} <= ours
    assert len(ours) <= MOST_DISTRIBUTIONS, sorted(ours)


@pytest.mark.parametrize("package", SERVER_PACKAGES)
def test_no_server_package_can_be_imported(device, package):
    assert device.script(f"import importlib.util as u; print(u.find_spec({package!r}))").strip() == "None"


def test_import_is_light_and_quiet(device):
    """`import strongroom` loads no cryptography, opens no socket, and prints nothing."""
    source = "import strongroom, sys; print([n for n in ('cryptography', 'urllib3', 'ssl') if n in sys.modules])"
    assert device.script(source).strip() == "[]"


def test_the_device_room_imports_whole(device):
    """Every module of the device's rooms loads with the base packages alone."""
    device.script(
        "import importlib, pkgutil, strongroom.edge, strongroom.operator, strongroom.sealed, strongroom.wire\n"
        "for room in (strongroom.edge, strongroom.operator, strongroom.sealed, strongroom.wire):\n"
        "    for one in pkgutil.walk_packages(room.__path__, room.__name__ + '.'):\n"
        # what lies below an adapter is imported by it once its extra is there
        "        if not one.name.startswith('strongroom.edge.runtimes.onnx.'):\n"
        "            importlib.import_module(one.name)\n"
        "import sys\n"
        "assert not [n for n in sys.modules if n.startswith('strongroom.server')]"
    )


def test_the_three_lines_are_offered(device):
    device.script("import strongroom; assert callable(strongroom.connect) and callable(strongroom.protect)")


def test_help_works_and_loads_little(device):
    text = device.run("-m", "strongroom", "--help")
    assert "pull" in text
    assert "Traceback" not in text


def test_what_is_not_enrolled_says_what_to_do(device):
    text = device.run("-m", "strongroom", "pull", "digits@stable", code=1)
    assert "[not-enrolled]" in text
    assert "strongroom enrol" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "command", [["serve", "--config", "office.toml"], ["init", "office"], ["db", "current"]], ids=" ".join
)
def test_server_commands_name_the_extra(device, command):
    (device.home / "office.toml").touch()
    text = device.run("-m", "strongroom", *command, code=1)
    assert "[missing-extra]" in text
    assert "strongroom[server]" in text
    assert "Traceback" not in text


def test_the_demo_names_its_extra(device):
    text = device.run("-m", "strongroom", "demo", code=1)
    assert "[missing-extra]" in text
    assert "strongroom[demo]" in text


def test_a_runtime_that_is_not_there_names_its_extra(device):
    text = device.script(
        "from strongroom.edge import runtimes\n"
        "from strongroom.errors import SetupError\n"
        "try:\n"
        "    runtimes.open_session('onnx', {'model.onnx': memoryview(b'x')}, {})\n"
        "except SetupError as error:\n"
        "    print(error)\n"
    )
    assert "[missing-extra]" in text
    assert "strongroom[onnx]" in text


def test_the_wheel_holds_types_and_migrations_and_no_tests(device):
    names = zipfile.ZipFile(device.wheel).namelist()
    assert "strongroom/py.typed" in names
    assert any("server/ledger/migrations/versions/" in name for name in names)
    assert not [name for name in names if name.startswith(("tests", "docs")) or "fakes" in name]
    assert any(name.endswith("licenses/LICENSE") for name in names)
