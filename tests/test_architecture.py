"""The shape of the project: which outside modules each room may import, and how its modules look.

The import contracts in pyproject.toml say which rooms may know each other; they are lists of what is forbidden, and
such lists leak. This is the list of what is allowed: a package nobody thought of is refused too (R54).
"""

import ast
import re
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "strongroom"
MOST_LINES = 400
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "managers", "base", "misc", "lib"}

PURE = {  # standard modules that compute and touch nothing
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "concurrent", "contextlib", "copy",
    "dataclasses", "datetime", "decimal", "enum", "functools", "hashlib", "hmac", "io", "ipaddress",
    "itertools", "json", "math", "operator", "re", "secrets", "string", "struct", "threading", "types",
    "typing", "unicodedata", "urllib", "zlib",
}  # fmt: skip
ANY = set(sys.stdlib_module_names)
SERVER = {
    "alembic", "cbor2", "cryptography", "fastapi", "h11", "joserfc", "pydantic", "pydantic_settings",
    "sqlalchemy", "starlette", "structlog", "uvicorn",
}  # fmt: skip

ALLOWED = {  # room: the outside modules it may import, at the top or anywhere inside
    "": {"__future__", "collections", "pathlib", "typing"},
    "__main__": set(),
    "errors": {"enum", "typing"},
    "canonical": PURE,
    "shapes": PURE,
    "names": PURE,
    "signing": PURE | {"cryptography"},
    "sealed": PURE | {"cryptography", "ctypes", "errno", "os", "pathlib", "stat", "sys", "tempfile"},
    "wire": PURE | {"cryptography"},
    "toml": PURE | {"difflib", "tomllib"},
    "attest": PURE | {"cbor2", "cryptography"},
    "risk": PURE | {"ast", "difflib", "importlib"},
    "testing": PURE | {"cbor2", "cryptography", "warnings"},
    "transport": PURE | {"cryptography", "socket", "ssl", "time", "urllib3"},
    "edge": ANY | {"cryptography"},
    "edge.runtimes.onnx": {"numpy", "onnxruntime"},
    "operator": ANY | {"cryptography"},
    "server": ANY | SERVER,
    "cli": ANY | {"click", "cryptography"},
    "cli.arrays": {"numpy"},
    "cli.demo": {"numpy", "onnxruntime"},
}
FORBIDDEN_ON_THE_DEVICE = {"pickle", "marshal", "shelve", "http", "sqlite3", "subprocess", "xml"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("strongroom", include_external_packages=True, cache_dir=None)


def allowed_for(module: str) -> set[str]:
    """Return what a module may import: the union over its room and the modules above it that are listed."""
    inner = module.removeprefix("strongroom").lstrip(".")
    names = ["", inner] if not inner else [".".join(inner.split(".")[: n + 1]) for n in range(inner.count(".") + 1)]
    return set().union(*(ALLOWED.get(name, set()) for name in names))


def own_modules(graph: grimp.ImportGraph) -> list[str]:
    return sorted(name for name in graph.modules if name.split(".")[0] == "strongroom")


def outside(graph: grimp.ImportGraph, module: str) -> set[str]:
    found = {name.split(".")[0] for name in graph.find_modules_directly_imported_by(module)}
    return found - {"strongroom"}


def test_every_room_is_on_the_list(graph):
    rooms = {name.split(".")[1] for name in own_modules(graph) if "." in name}
    assert rooms <= set(ALLOWED), f"new rooms need a line in ALLOWED: {sorted(rooms - set(ALLOWED))}"


def test_rooms_import_only_what_they_are_allowed(graph):
    wrong = {name: sorted(outside(graph, name) - allowed_for(name)) for name in own_modules(graph)}
    assert {name: extra for name, extra in wrong.items() if extra} == {}


def test_the_device_imports_nothing_that_runs_code_or_starts_programs(graph):
    rooms = ("strongroom.edge", "strongroom.sealed", "strongroom.wire", "strongroom.transport")
    modules = [name for name in own_modules(graph) if name.startswith(rooms)]
    found = {name: outside(graph, name) & FORBIDDEN_ON_THE_DEVICE for name in modules}
    assert {name: what for name, what in found.items() if what} == {}


def test_everything_imported_is_declared(graph):
    """A package that is only there because another needs it vanishes one day."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.match(r"[A-Za-z0-9-]+", line)[0].replace("-", "_") for line in lines}
    used = set().union(*(outside(graph, name) for name in own_modules(graph))) - ANY
    assert used <= declared, sorted(used - declared)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_shape(path):
    """Short, documented, and named for what it is; nothing happens when it is imported."""
    names = {part.removesuffix(".py").strip("_") for part in path.relative_to(SOURCE).parts}
    assert not names & NO_NAMES, f"say what it is: {names & NO_NAMES}"
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES, f"{text.count(chr(10))} lines: split it, or say why it cannot be"
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what it is for"
    calls = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    assert not calls or path.name in {"__main__.py", "env.py"}, "a bare call at module level runs on import"


def test_the_guards_can_fail(graph):
    """An allow-list that allows everything would pass too."""
    assert "socket" not in allowed_for("strongroom.wire.grant")
    assert "requests" not in allowed_for("strongroom.edge.fetch")
    assert "sqlalchemy" not in allowed_for("strongroom.edge.fetch")
    assert "onnxruntime" not in allowed_for("strongroom.edge.client")
    assert allowed_for("strongroom.edge.runtimes.onnx") >= {"onnxruntime", "cryptography"}
    assert len(own_modules(graph)) > 20, "the graph is empty"
