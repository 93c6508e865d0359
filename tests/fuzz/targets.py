"""Every fuzz target by its name."""

from fuzz import attest_targets, file_targets, onnx_targets, wire_targets
from fuzz.judging import Target

TARGETS: dict[str, Target] = {
    one.name: one
    for one in (*file_targets.TARGETS, *wire_targets.TARGETS, *onnx_targets.TARGETS, *attest_targets.TARGETS)
}
