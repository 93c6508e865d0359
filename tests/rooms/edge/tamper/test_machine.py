"""Where a program runs, from texts of machines of each kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.edge.tamper import machine

LAPTOP = b"processor\t: 0\nmodel name\t: AMD Ryzen 7 7840U\nflags\t\t: fpu vme sse2 avx2\n"
CLOUD = b"processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu vme hypervisor avx2\n"
TCG = b"processor\t: 0\nmodel name\t: QEMU TCG CPU version 2.5+\nflags\t\t: fpu vme hypervisor\n"
PHONE = b"processor\t: 0\nFeatures\t: fp asimd\nHardware\t: ranchu\n"
ROOT = b"22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n"
OVERLAY = b"600 500 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/a\n"


@pytest.mark.parametrize(
    ("cpuinfo", "product", "emulated", "virtual"),
    [
        (LAPTOP, b"21K5CTO1WW\nLENOVO\n21K5CTO1WW\n", False, False),
        (CLOUD, b"Google Compute Engine\nGoogle\n", False, True),
        (LAPTOP, b"VirtualBox\ninnotek GmbH\n", False, True),
        (LAPTOP, b"Standard PC (Q35 + ICH9, 2009)\nQEMU\n", False, True),
        (TCG, b"Standard PC (i440FX + PIIX, 1996)\nQEMU\n", True, True),
        (PHONE, b"", True, False),
        (LAPTOP, b"Bochs\nBochs\n", True, False),
        (b"", b"", False, False),
    ],
)
def test_an_emulator_is_no_virtual_machine(cpuinfo, product, emulated, virtual):
    assert machine.is_emulator(cpuinfo, product) is emulated
    assert machine.is_virtual(cpuinfo, product) is virtual


@pytest.mark.parametrize(
    ("cgroup", "mounts", "marked", "contained"),
    [
        (b"0::/user.slice/user-1000.slice/session-2.scope\n", ROOT, False, False),
        (b"0::/\n", OVERLAY, False, True),
        (b"0::/\n", ROOT, True, True),
        (b"12:pids:/docker/0123456789abcdef\n", ROOT, False, True),
        (b"0::/kubepods.slice/kubepods-besteffort.slice/x\n", ROOT, False, True),
        (b"0::/system.slice/docker.service\n", ROOT, False, False),  # the engine itself
        (b"0::/system.slice/docker-0123456789abcdef.scope\n", ROOT, False, True),
        (b"", b"", False, False),
    ],
)
def test_a_container(cgroup, mounts, marked, contained):
    assert machine.is_container(cgroup, mounts, marked=marked) is contained


@given(st.binary(), st.binary())
def test_any_text_is_judged(one, other):
    machine.is_container(one, other, marked=False)
    machine.is_emulator(one, other)
    machine.is_virtual(one, other)
