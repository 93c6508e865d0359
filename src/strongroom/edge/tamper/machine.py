"""What a machine says of itself, judged: an emulator, a container, a virtual machine.

A container and a virtual machine are where honest people work: they are a place, and no tampering. An emulator is
software that plays a processor or a phone, in which every instruction of the model can be watched.
"""

import re

_CONTAINER = re.compile(rb"/docker[/-]|kubepods|cri-containerd|libpod|/lxc[./]|crio-|/garden/|/machine-|/ecs/")
_EMULATED = re.compile(rb"(?im)^(?:model name\s*:.*\b(?:QEMU TCG|Bochs)|hardware\s*:\s*(?:goldfish|ranchu|vbox86)\b)")
_EMULATOR_PRODUCT = re.compile(rb"(?i)\b(?:bochs|goldfish|ranchu|genymotion|android emulator|bluestacks)\b")
_VIRTUAL_PRODUCT = re.compile(
    rb"(?i)kvm|qemu|vmware|virtualbox|virtual machine|standard pc|hvm domu|openstack|compute engine|bhyve|parallels"
)
_VIRTUAL_FLAG = re.compile(rb"(?m)^flags\s*:.*\bhypervisor\b")
_OVERLAY_ROOT = re.compile(rb"(?m)^\d+ \d+ \S+ \S+ / .* - (?:overlay|fuse\.fuse-overlayfs) ")


def is_container(cgroup: bytes, mounts: bytes, *, marked: bool) -> bool:
    """Say whether this is a container.

    Args:
        cgroup: /proc/self/cgroup; in a container of today it says nothing.
        mounts: /proc/self/mountinfo.
        marked: whether a container engine left its mark, such as /.dockerenv.
    """
    return marked or bool(_CONTAINER.search(cgroup) or _OVERLAY_ROOT.search(mounts))


def is_emulator(cpuinfo: bytes, product: bytes) -> bool:
    """Say whether the processor is software.

    Args:
        cpuinfo: the beginning of /proc/cpuinfo.
        product: what the firmware calls the machine and its maker (/sys/class/dmi/id), one a line.
    """
    return bool(_EMULATED.search(cpuinfo) or _EMULATOR_PRODUCT.search(product))


def is_virtual(cpuinfo: bytes, product: bytes) -> bool:
    """Say whether this is a virtual machine. Arguments as `is_emulator`."""
    return bool(_VIRTUAL_FLAG.search(cpuinfo) or _VIRTUAL_PRODUCT.search(product))
