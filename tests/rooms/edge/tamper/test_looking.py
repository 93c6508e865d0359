"""Real tampering with real processes, and what each probe sees of it (R80, R81)."""

import ctypes.util
import dataclasses
import mmap
import shutil
import sys
import threading
from pathlib import Path

import pytest

from rooms.edge.tamper.installed import looked
from strongroom.edge.tamper import looking
from strongroom.edge.tamper.looking import CONTAINER, DEBUGGER, EMULATOR, HOOK, ROOT, VIRTUAL, WORDS, Facts, Probe


def math_library() -> Path:
    """Return the C library of mathematics: a real shared library that needs no compiler."""
    ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
    lines = Path("/proc/self/maps").read_text().splitlines()
    return Path(next(line.split()[5] for line in lines if "/libm" in line))


@pytest.fixture(scope="module")
def usual():
    return looked()


def test_an_honest_process_is_neither_hooked_nor_debugged(usual):
    assert not {HOOK, DEBUGGER, EMULATOR} & {*usual["tamper"]}
    assert usual["elsewhere"] == 0


def test_a_traced_process_says_so(usual):
    """R77: a debugger is attached; here the parent, by the call every debugger begins with."""
    found = looked("import ctypes; assert ctypes.CDLL(None).ptrace(0, 0, None, None) == 0")
    assert {*found["tamper"]} == {*usual["tamper"], DEBUGGER}


FOLLOWING = [
    "import sys; sys.settrace(lambda *_: None)",
    "import sys; sys.setprofile(lambda *_: None)",
    "import threading; threading.settrace(lambda *_: None)",
    "import cProfile; cProfile.Profile().enable()",
    "import bdb; bdb.Bdb().set_trace()",
]
if sys.version_info >= (3, 12):
    FOLLOWING.append("import sys; sys.monitoring.use_tool_id(sys.monitoring.COVERAGE_ID, 'x')")


@pytest.mark.parametrize("begin", FOLLOWING)
def test_an_interpreter_that_is_followed_says_so(usual, begin):
    assert {*looked(begin)["tamper"]} == {*usual["tamper"], DEBUGGER}


def test_a_preloaded_library_is_seen(usual):
    """R77: LD_PRELOAD, although the library is one that every system has, and the variable is removed at once."""
    begin = "import os; del os.environ['LD_PRELOAD']"
    found = looked(begin, LD_PRELOAD=str(math_library()))
    assert {*found["tamper"]} == {*usual["tamper"], HOOK}


def test_a_long_environment_hides_nothing(usual):
    """R77: what is to be hidden stands behind a lot that is not."""
    found = looked(AAAA="x" * 100_000, LD_PRELOAD=str(math_library()))
    assert {*found["tamper"]} == {*usual["tamper"], HOOK}


def mapped(path: Path, mode: int) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), mmap.PAGESIZE, prot=mode)


def seen_here() -> set[str]:
    return {*looking.look().tamper}


@pytest.mark.parametrize("name", ["frida-agent-64.so", "hook.so"])
def test_a_foreign_library_in_this_process_is_seen(tmp_path, name):
    """R77: mapped as code it is a hook; the same bytes as data, or gone again, are not."""
    path = tmp_path / name
    shutil.copy(math_library(), path)
    before = seen_here()
    with mapped(path, mmap.PROT_READ):
        assert seen_here() == before
    with mapped(path, mmap.PROT_READ | mmap.PROT_EXEC):
        assert HOOK in seen_here()
        path.unlink()
        assert HOOK in seen_here()
    assert seen_here() == before


def test_a_payload_from_memory_is_seen():
    begin = (
        "import mmap, os; fd = os.memfd_create('payload'); os.write(fd, bytes(mmap.PAGESIZE))",
        "held = mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    )
    assert HOOK in looked(*begin)["tamper"]


@pytest.mark.parametrize("without", ["environment", "mappings"])
def test_any_probe_can_be_taken_away(tmp_path, without):
    """R77, R81: a library preloaded from a passing place is seen by two probes, and by the other if one is stubbed."""
    evil = tmp_path / "evil.so"
    shutil.copy(math_library(), evil)
    stub = (
        f"kept = [one for one in looking.PROBES if one.name != {without!r}]",
        "assert len(kept) == len(looking.PROBES) - 1; looking.PROBES = kept",
    )
    assert HOOK in looked(*stub, LD_PRELOAD=str(evil))["tamper"]


def quiet() -> str:
    return "unknown"


def test_each_probe_stands_alone():
    """R81: one that fails, or is gone, takes no other with it."""

    def broken() -> bool:
        raise RuntimeError("this machine is another")

    probes = [Probe(word, word, lambda: True) for word in WORDS]
    for gone, probe in enumerate(probes):
        rest = tuple(word for word in WORDS if word != probe.word)
        bent = [*probes[:gone], dataclasses.replace(probe, sees=broken), *probes[gone + 1 :]]
        assert looking.seen(bent, (), quiet, lambda: 0).tamper == rest
        assert looking.seen([*probes[:gone], *probes[gone + 1 :]], (), quiet, lambda: 0).tamper == rest
    assert looking.seen([Probe("x", "x", broken)], [Probe("x", "x", broken)], broken, broken) == Facts()


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("/proc/self/status", b"TracerPid:\t7\n", (DEBUGGER,)),
        ("/proc/self/environ", b"LD_PRELOAD=libhook.so\0", (HOOK,)),
        ("/etc/ld.so.preload", b"/usr/lib/libhook.so\n", (HOOK,)),
        ("/proc/self/maps", b"1000-2000 r-xp 0 0:1 7 /memfd:payload (deleted)\n", (HOOK,)),
        ("/proc/cpuinfo", b"model name\t: QEMU TCG CPU version 2.5+\n", (EMULATOR,)),
        ("/sys/class/dmi/id/product_name", b"Bochs\n", (EMULATOR,)),
        ("/proc/self/cgroup", b"0::/docker/0123\n", (CONTAINER,)),
        ("/proc/self/mountinfo", b"600 500 0:50 / / rw - overlay overlay rw\n", (CONTAINER,)),
        ("/sys/class/dmi/id/sys_vendor", b"QEMU\n", (VIRTUAL,)),
    ],
)
def test_each_text_reaches_its_probe(monkeypatch, path, text, told):
    def read(wanted: str, most: int = 0) -> bytes:
        return text if wanted == path else b""

    monkeypatch.setattr(looking, "_read", read)
    monkeypatch.setattr(looking, "_settled", read)
    monkeypatch.setattr(looking, "_MARKS", ())
    monkeypatch.setattr(looking, "is_watched", lambda: False)
    found = looking.look()
    assert (*found.tamper, *found.place) == told


def test_power_is_of_this_process_and_its_place(monkeypatch):
    texts = {"/proc/self/status": b"Uid:\t0\t0\t0\t0\n", "/proc/self/uid_map": b"0 0 4294967295\n"}
    monkeypatch.setattr(looking, "_read", lambda path, most=0: texts.get(path, b""))
    monkeypatch.setattr(looking, "_settled", lambda path, most=0: texts.get(path, b""))
    monkeypatch.setattr(looking, "_MARKS", ())
    assert ROOT in looking.look().tamper
    texts["/proc/self/cgroup"] = b"0::/docker/0123\n"
    assert ROOT not in looking.look().tamper


def test_a_machine_without_proc_says_nothing(monkeypatch):
    """macOS, and a sandbox that hides it: facts are left out, none is made up."""
    monkeypatch.setattr(looking, "_read", lambda *_: b"")
    monkeypatch.setattr(looking, "_settled", lambda *_: b"")
    assert not {*looking.look().tamper} - {DEBUGGER}  # which the interpreter itself says, under coverage


def test_a_trace_in_this_thread_is_seen_while_it_lasts():
    before = sys.gettrace()
    found = []

    def follow() -> None:
        sys.settrace(lambda *_: None)
        found.append(looking.is_watched())

    thread = threading.Thread(target=follow)
    thread.start()
    thread.join()
    assert found == [True]
    assert sys.gettrace() is before
