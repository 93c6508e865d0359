"""Our own files against the list that came with them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.edge.tamper.installed import SOURCE, install, looked, record
from strongroom import __version__
from strongroom.edge.tamper import package


@pytest.fixture
def site(tmp_path):
    return install(tmp_path / "site-packages")


def look(site):
    return package.of(str(site / "strongroom" / "__init__.py"), __version__)


def test_what_was_installed_is_ok(site):
    assert look(site)() == package.OK
    assert looked(site=site)["app_sig"] == package.OK  # and stays so once it was imported and compiled
    assert look(site)() == package.OK


def edit(site):
    path = site / "strongroom" / "edge" / "opening.py"
    text = path.read_bytes()
    path.write_bytes(text.replace(b"now", b"n0w", 1))  # as long as before
    assert path.read_bytes() != text


def shadow(site):
    """An extension beside a module is imported in its place."""
    (site / "strongroom" / "errors.abi3.so").write_bytes(b"\x7fELF")


def add(site):
    (site / "strongroom" / "edge" / "more").mkdir()
    (site / "strongroom" / "edge" / "more" / "hook.py").write_text("")


def compile_only(site):
    (site / "strongroom" / "edge" / "hook.pyc").write_bytes(b"")


def link(site):
    path = site / "strongroom" / "names.py"
    path.unlink()
    path.symlink_to(SOURCE / "errors.py")


@pytest.mark.parametrize("change", [edit, shadow, add, compile_only, link])
def test_changed_files_are_bad(site, change):
    """R77: whoever edits, adds or replaces a module of the client is seen, before and after it was looked at."""
    watching = look(site)
    assert watching() == package.OK
    change(site)
    assert watching() == look(site)() == package.BAD


def test_a_change_with_its_old_time_is_seen(site):
    path = site / "strongroom" / "edge" / "opening.py"
    before, watching = path.stat(), look(site)
    assert watching() == package.OK
    edit(site)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size
    assert watching() == package.BAD


def test_what_is_put_back_is_ok_again(site):
    path, watching = site / "strongroom" / "edge" / "opening.py", look(site)
    text = path.read_bytes()
    edit(site)
    assert watching() == package.BAD
    path.write_bytes(text)
    assert watching() == package.OK


def test_files_are_read_once(site, monkeypatch):
    watching = look(site)
    assert watching() == package.OK
    monkeypatch.setattr(package, "_read", lambda place, most: pytest.fail(f"{place} is read again"))
    assert watching() == package.OK


def forget(site):
    record(site).unlink()


def empty(site):
    record(site).write_text("")


def garble(site):
    record(site).write_bytes(b"strongroom/__init__.py,sha256=!!!,1\n\xff\n")


def leave_out(site):
    (site / "strongroom" / "server" / "wiring.py").unlink()


@pytest.mark.parametrize("change", [forget, empty, garble, leave_out])
def test_what_cannot_be_said_is_unknown(site, change):
    change(site)
    assert look(site)() == package.UNKNOWN


def test_an_editable_install_is_unknown():
    """Nobody listed these files: this very run of the tests is one, or a copy that runs where it lies."""
    assert package.of(str(SOURCE / "__init__.py"), __version__)() == package.UNKNOWN


@given(st.text())
def test_any_list_is_read(text):
    package.listed(text.encode("utf-8", "surrogatepass"), "strongroom")
    package.listed(b"strongroom/a.py,sha256=" + text.encode("utf-8", "surrogatepass") + b",", "strongroom")
