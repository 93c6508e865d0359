"""What the kernel says of a process, as text: judged without one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.edge.tamper import process

EVE = "/home" + "/eve"
OURS = (b"/srv/app/venv/",)
TMP = "/tmp"  # noqa: S108 - a text to judge; nothing is made there
SHM = "/dev/shm"  # noqa: S108 - as above
WHOLE, NESTED = b"         0          0 4294967295\n", b"         0       1000          1\n"


def status(tracer: int = 0, user: int = 1000, powers: int = 0) -> bytes:
    ids = f"Uid:\t{user}\t{user}\t{user}\t{user}\n"
    return f"Name:\tpython3\nTracerPid:\t{tracer}\n{ids}CapEff:\t{powers:016x}\n".encode()


def mapping(path: str, mode: str = "r-xp") -> bytes:
    return f"7fc002644000-7fc00279a000 {mode} 00026000 fe:00 339380                     {path}\n".encode()


def test_a_tracer_is_seen():
    assert process.is_traced(status(tracer=4711))
    assert not process.is_traced(status())
    assert not process.is_traced(b"Name:\tTracerPid: 5\n")
    assert not process.is_traced(b"TracerPid:\tmany\n")


@pytest.mark.parametrize(
    ("said", "uids", "contained", "powerful"),
    [
        (status(user=1000), WHOLE, False, False),
        (status(user=0, powers=2**41 - 1), WHOLE, False, True),
        (status(user=1000, powers=1 << 19), WHOLE, False, True),
        (status(user=0), WHOLE, False, True),
        (status(user=0, powers=0xA80425FB), WHOLE, True, False),  # what a container engine leaves by default
        (status(user=0, powers=2**41 - 1), WHOLE, True, True),  # a privileged container
        (status(user=0, powers=2**41 - 1), NESTED, True, False),  # without root of the machine
        (b"", b"", False, False),
    ],
)
def test_power_over_the_machine(said, uids, contained, powerful):
    assert process.has_power(said, uids, contained=contained) is powerful


@pytest.mark.parametrize(
    ("environment", "preloaded"),
    [
        (b"", False),
        (b"PATH=/usr/bin\0LD_PRELOAD=\0", False),
        (b"LD_PRELOAD=libm.so.6\0PATH=/usr/bin\0", True),
        (b"LD_PRELOAD=/tmp/libjemalloc.so.2\0", True),  # a good name in a bad place
        (b"LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2\0", False),
        (b"LD_PRELOAD=libtcmalloc_minimal.so.4:libiomp5.so\0", False),
        (b"LD_PRELOAD=/srv/app/venv/lib/torch.libs/libgomp-d22c30c5.so.1.0.0\0", False),
        (b"LD_PRELOAD=libjemalloc.so.2 /usr/lib/hook.so\0", True),
        (b"LD_AUDIT=/usr/lib/audit.so\0", True),
        (b"NOT_LD_PRELOAD=/x.so\0", False),
    ],
)
def test_libraries_that_come_before_all_others(environment, preloaded):
    """R77: the environment as the process got it; allocators of people who mean well are no fact."""
    assert process.is_preloaded(environment, OURS) is preloaded


def test_the_list_for_every_process():
    assert not process.names_preload(b"# nothing\n/usr/lib/arm-linux-gnueabihf/libarmmem-${PLATFORM}.so\n", OURS)
    assert process.names_preload(b"/usr/lib/libprocesshider.so\n", OURS)


@pytest.mark.parametrize(
    ("path", "injected"),
    [
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", False),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)", False),  # an update of a machine that runs
        ("/srv/app/venv/lib/python3.13/site-packages/numpy/core.so", False),
        ("[vdso]", False),
        ("/memfd:libffi (deleted)", False),
        ("/memfd:/.nvidia_drv.XXXXXX (deleted)", False),
        (f"{TMP}/ffiAbC123 (deleted)", False),
        ("/dev/zero (deleted)", False),
        ("/memfd:jit (deleted)", True),
        ("/memfd:frida-agent-64.so (deleted)", True),
        ("/usr/lib/frida/64/frida-agent.so", True),
        ("/usr/lib/frida/fine.so", False),
        (f"{TMP}/hook.so", True),
        (f"{SHM}/with space.so", True),
        (f"{EVE}/hook.so (deleted)", True),
        (f"{EVE}/hook.so", False),  # that is for `mapped_elsewhere`
    ],
)
def test_code_that_no_installed_library_is(path, injected):
    assert process.is_injected(mapping("/usr/bin/python3.13") + mapping(path), OURS) is injected
    assert not process.is_injected(mapping(path, "r--p"), OURS)  # data is anybody's


def test_code_from_unusual_places_is_counted():
    lines = [mapping(path) for path in (f"{EVE}/a.so", f"{EVE}/a.so", "/mnt/b.so", "/usr/lib/c.so", "[vdso]")]
    assert process.mapped_elsewhere(b"".join(lines), OURS) == 2
    assert process.mapped_elsewhere(b"".join(lines), (b"/mnt/", EVE.encode() + b"/")) == 0


LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [b"TracerPid:", b"LD_PRELOAD=", b"\0", b"\n", b" (deleted)", b"/memfd:", mapping(f"{TMP}/x.so")]
        ),
    )
).map(b"".join)


@given(LINES)
def test_any_text_is_judged(text):
    """A kernel that writes something else is no fact and no error."""
    process.is_traced(text)
    process.has_power(text, text, contained=False)
    process.is_preloaded(text, OURS)
    process.names_preload(text, OURS)
    process.is_injected(text, OURS)
    process.mapped_elsewhere(text, OURS)
