"""I04: the targets of attestation reach what stands behind syntax and signatures, and are enough."""

from random import Random

from fuzz import attest_targets, mutation
from fuzz.targets import TARGETS
from strongroom.attest import judge
from strongroom.attest.verdict import Refusal

WANTED = 100_000  # executions in CI


def test_they_are_enough():
    """I04: test_fuzz.py sees that each has at least its number of executions."""
    assert sum(one.runs for one in attest_targets.TARGETS) >= WANTED
    assert {one.name for one in attest_targets.TARGETS} <= TARGETS.keys()


def test_mutated_evidence_reaches_every_stage():
    """A fuzzer whose inputs all end at the first check finds nothing; some must be accepted, and refused for much."""
    target, random = TARGETS["evidence"], Random(5)  # noqa: S311 - the same every time
    seeds, outcomes = list(target.seeds()), set()
    for _ in range(3000):
        data = target.mutate(random, random.choice(seeds), lambda some: mutation.bytewise(random, some))
        word, _, body = data.partition(b"\n")
        name = word.decode("latin-1")
        known = attest_targets.good()[name][1] if name in attest_targets.good() else None
        found = judge.verify(
            name.partition(" ")[0], body, attest_targets.EXPECTED, attest_targets.AT, known, attest_targets.POLICY,
            attest_targets.authorities(),
        )  # fmt: skip
        outcomes.add("accepted" if isinstance(found, judge.Judged) else found.code)
    assert outcomes >= {
        "accepted", Refusal.MALFORMED, Refusal.UNSUPPORTED, Refusal.CHAIN, Refusal.EXPIRED, Refusal.BINDING,
        Refusal.KEY, Refusal.APP, Refusal.DEVICE, Refusal.PCR,
    }  # fmt: skip
