"""Looking: reads what the probes judge, and says what they saw. One that cannot look sees nothing.

What was settled when the process began, or when the machine was made, is read once.
"""

import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import strongroom
from strongroom.edge.tamper import machine, package, process

ROOT, HOOK, DEBUGGER, EMULATOR = "root", "hook", "debugger", "emulator"
WORDS: Final = (ROOT, HOOK, DEBUGGER, EMULATOR)
CONTAINER, VIRTUAL = "container", "vm"

_MOST = 4_194_304  # bytes that are read of anything: 40,000 mappings
_FEW = 16_384
_MARKS = ("/.dockerenv", "/run/.containerenv")
_PRODUCT = ("product_name", "sys_vendor", "board_name")
_TOOLS = range(5)  # ids of sys.monitoring that debuggers, coverage and profilers take; 5 is an optimizer's
_log = logging.getLogger(__name__)

_Seen = TypeVar("_Seen")


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen; nothing follows from it here.

    Attributes:
        tamper: those of WORDS that at least one probe saw.
        place: "container", "vm": where this runs.
        app_sig: "ok", "bad" or "unknown": whether strongroom's own files are those that were installed.
        elsewhere: how many code files are mapped from unusual places.
    """

    tamper: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    app_sig: str = package.UNKNOWN
    elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """One way to see one thing. Any of them can be taken away without the others."""

    name: str
    word: str
    sees: Callable[[], bool]


def look() -> Facts:
    """Look at this process, in a few milliseconds."""
    return seen(PROBES, PLACES, _package(), lambda: process.mapped_elsewhere(_read("/proc/self/maps"), _ours()))


def seen(
    probes: Sequence[Probe], places: Sequence[Probe], app_sig: Callable[[], str], elsewhere: Callable[[], int]
) -> Facts:
    """Return what these see; whatever goes wrong in one of them is no fact, and no trouble of the others."""
    words = {probe.word for probe in probes if _tried(probe.sees, otherwise=False)}
    where = {probe.word for probe in places if _tried(probe.sees, otherwise=False)}
    return Facts(
        tuple(word for word in WORDS if word in words),
        tuple(word for word in (CONTAINER, VIRTUAL) if word in where),
        _tried(app_sig, otherwise=package.UNKNOWN),
        _tried(elsewhere, otherwise=0),
    )


def is_watched() -> bool:
    """Say whether a debugger, profiler or coverage tool follows this interpreter from within."""
    hooks = (sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile())
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12 on
    tools = () if monitoring is None else (monitoring.get_tool(number) for number in _TOOLS)
    return any(one is not None for one in (*hooks, *tools))


def _contained() -> bool:
    marked = any(os.path.lexists(mark) for mark in _MARKS)
    return machine.is_container(_settled("/proc/self/cgroup"), _settled("/proc/self/mountinfo"), marked=marked)


def _powerful() -> bool:
    return process.has_power(_read("/proc/self/status"), _read("/proc/self/uid_map"), contained=_contained())


def _tried(sees: Callable[[], _Seen], *, otherwise: _Seen) -> _Seen:
    try:
        return sees()
    except Exception as error:  # noqa: BLE001 - a machine that a probe does not understand must not cost a model
        _log.debug("a probe could not look: %s", type(error).__name__)
        return otherwise


def _read(path: str, most: int = _MOST) -> bytes:
    """Return the beginning of a file, b"" if there is none."""
    try:
        with Path(path).open("rb", buffering=0) as file:
            parts, size = [], 0
            while size < most and (part := file.read(most - size)):  # the kernel gives a page at a time
                parts.append(part)
                size += len(part)
            return b"".join(parts)
    except OSError:
        return b""


@functools.cache
def _settled(path: str, most: int = _MOST) -> bytes:
    """Read what does not change while this process lives, once."""
    return _read(path, most)


@functools.cache
def _package() -> Callable[[], str]:
    return package.of(strongroom.__file__ or "", strongroom.__version__)


def _cpuinfo() -> bytes:
    return _settled("/proc/cpuinfo", _FEW)  # the first processor's; the kernel takes its time for many


def _product() -> bytes:
    return b"\n".join(_settled(f"/sys/class/dmi/id/{name}") for name in _PRODUCT)


def _ours() -> tuple[bytes, ...]:
    """Return the directories that this program's own code is loaded from, as mappings name them."""
    beside = str(Path(sys.executable or "").parent)
    return _real(tuple(dict.fromkeys((sys.prefix, sys.base_prefix, sys.exec_prefix, beside, *sys.path))))


@functools.lru_cache(maxsize=2)  # of the last `sys.path`: finding out costs more than all else
def _real(directories: tuple[str, ...]) -> tuple[bytes, ...]:
    real = {os.fsencode(os.path.realpath(one)) + b"/" for one in directories if one.startswith("/")}
    return tuple(one for one in real if one != b"//" and one not in process.TEMPORARY)


PROBES: Final = (
    Probe("tracer", DEBUGGER, lambda: process.is_traced(_read("/proc/self/status"))),
    Probe("interpreter", DEBUGGER, is_watched),
    Probe("environment", HOOK, lambda: process.is_preloaded(_settled("/proc/self/environ"), _ours())),
    Probe("preload-file", HOOK, lambda: process.names_preload(_settled("/etc/ld.so.preload"), _ours())),
    Probe("mappings", HOOK, lambda: process.is_injected(_read("/proc/self/maps"), _ours())),
    Probe("power", ROOT, _powerful),
    Probe("machine", EMULATOR, lambda: machine.is_emulator(_cpuinfo(), _product())),
)
PLACES: Final = (
    Probe("container", CONTAINER, _contained),
    Probe("machine", VIRTUAL, lambda: machine.is_virtual(_cpuinfo(), _product())),
)
