"""What the kernel says of one process, judged: tracers, powers, preloads and mappings (proc(5), ld.so(8)).

Texts come as bytes and may be anything: what cannot be read is no fact.
"""

import re
from collections.abc import Iterable, Iterator

CAP_SYS_PTRACE = 19  # bit of CapEff: may look into any process (capabilities(7))

_SYSTEM = (
    *(b"usr", b"lib", b"lib32", b"lib64", b"bin", b"sbin", b"opt"),
    *(b"nix", b"gnu", b"snap", b"app", b"var/lib/snapd", b"var/lib/flatpak", b"home/linuxbrew"),
)
_USUAL = tuple(b"/%s/" % name for name in _SYSTEM)
TEMPORARY = (b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/run/user/")  # anybody may write there
_TOOLS = re.compile(rb"(?i)frida|gum-?js|libsubstrate|xposed|linjector|libinject|libdobby")
# What ctypes' callbacks live in, and what NVIDIA's drivers map: on many honest machines.
_HARMLESS_MEMORY = re.compile(rb"/memfd:(?:libffi|/?\.gl\w{0,10}|/?\.nvidia_drv\.\w{0,10})")
_FFI_FILE = re.compile(rb"/ffi\w{6}")  # of libffi where there is no memfd
# Allocators, OpenMP and stdbuf are preloaded by people who mean well, libarmmem by Raspberry Pi OS.
_HARMLESS_PRELOAD = re.compile(
    rb"(?:lib(?:jemalloc|tcmalloc\w*|mimalloc[\w.-]*|iomp5|[gi]?omp[\w-]*|stdbuf|stdc\+\+|armmem[\w${}-]*)\.so[.0-9]*)"
)
_DELETED = b" (deleted)"


def is_traced(status: bytes) -> bool:
    """Say whether a debugger or tracer is attached, from /proc/self/status."""
    return _number(_field(status, b"TracerPid")) > 0


def has_power(status: bytes, uid_map: bytes, *, contained: bool) -> bool:
    """Say whether this process may look into all others of its machine, and so whoever started it can too.

    User 0 in a container without CAP_SYS_PTRACE, or in a user namespace, is a name and not a power.

    Args:
        status: /proc/self/status.
        uid_map: /proc/self/uid_map.
        contained: whether this is a container.
    """
    if [word for word in uid_map.split() if word.isdigit()] != [b"0", b"0", b"4294967295"]:
        return False
    user = _field(status, b"Uid").split()[1:2]
    powers = _number(_field(status, b"CapEff"), 16)
    return bool(powers >> CAP_SYS_PTRACE & 1) or (user == [b"0"] and not contained)


def is_preloaded(environment: bytes, ours: Iterable[bytes]) -> bool:
    """Say whether libraries were put before all others when the process started, from /proc/self/environ.

    Args:
        environment: as the process got it; what it changed since is not in it.
        ours: directories of the program itself, each with a slash at its end.
    """
    given = dict(one.partition(b"=")[::2] for one in environment.split(b"\0"))
    return bool(given.get(b"LD_AUDIT")) or names_preload(given.get(b"LD_PRELOAD", b""), ours)


def names_preload(text: bytes, ours: Iterable[bytes]) -> bool:
    """Say whether a list of libraries to preload, as in /etc/ld.so.preload, names one that is not known as harmless."""
    places = (*_USUAL, *ours)
    lines = (line.partition(b"#")[0] for line in text.splitlines())
    for one in (one for line in lines for one in re.split(rb"[\s:]+", line) if one):
        known = _HARMLESS_PRELOAD.fullmatch(one.rpartition(b"/")[2])
        if not known or (b"/" in one and not one.startswith(places)):
            return True
    return False


def is_injected(maps: bytes, ours: Iterable[bytes]) -> bool:
    """Say whether code is mapped that no installed library is: a hooking tool's, from memory, or from a passing place.

    A library that was deleted where libraries usually are is an update's doing.

    Args:
        maps: /proc/self/maps.
        ours: directories of the program itself, each with a slash at its end.
    """
    homes = (*_USUAL, *ours)
    for path, deleted in _mapped(maps):
        if _TOOLS.search(path.rpartition(b"/")[2]):
            return True
        of_ctypes = deleted and _FFI_FILE.fullmatch(path[path.rfind(b"/") :])
        if path.startswith(b"/memfd:"):
            passing = not _HARMLESS_MEMORY.match(path)
        else:
            passing = (deleted or path.startswith(TEMPORARY)) and not path.startswith(homes) and not of_ctypes
        if passing:
            return True
    return False


def mapped_elsewhere(maps: bytes, ours: Iterable[bytes]) -> int:
    """Return how many code files lie where neither a system nor this program keeps any; for the server to weigh.

    People have libraries in their home directories, and so do attackers. Arguments as `is_injected`.
    """
    homes = (*_USUAL, *ours)
    return len({path for path, _ in _mapped(maps) if not path.startswith((*homes, b"/memfd:"))})


def _mapped(maps: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield path and "is deleted" of every file that is mapped executable."""
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 6 or b"x" not in fields[1] or not fields[5].startswith(b"/"):
            continue
        path = fields[5]
        if not path.startswith((b"/dev/zero", b"/SYSV")):  # memory that is shared and anonymous
            yield path.removesuffix(_DELETED), path.endswith(_DELETED)


def _field(status: bytes, name: bytes) -> bytes:
    found = re.search(rb"^" + name + rb":(.*)$", status, re.MULTILINE)
    return b"" if found is None else found[1].strip()


def _number(text: bytes, base: int = 10) -> int:
    try:
        return int(text[:20], base)
    except ValueError:
        return 0
