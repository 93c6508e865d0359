"""A32, I01, I02: any bytes and any values at every parser and reader; typed refusals only, in bounded memory.

docs/fuzzing.md says what is fuzzed, how to run it for longer, and how to repeat a finding.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import cases, file_targets, judging, mutation, run
from fuzz.judging import Target
from fuzz.targets import TARGETS
from strongroom import sealed
from strongroom.canonical import MAX_DEPTH
from strongroom.errors import Code, IntegrityError

WANTED = 100_000  # executions in CI (A32)
EXAMPLES = 500  # of hypothesis, for each target
LARGEST_CORPUS = 300_000  # bytes
RUN = Path(run.__file__)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True) | st.sampled_from(
    ("files", "segments", "kind", "sig", "origin")
)
VALUES = st.recursive(
    LEAVES | st.sampled_from(mutation.LEAVES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)


def mutated(target: Target) -> st.SearchStrategy[bytes]:
    """Return seeds changed up to three times by choices that hypothesis makes and can make smaller."""

    def change(seed: bytes, random: Random, times: int) -> bytes:
        for _ in range(times):
            seed = target.mutate(random, seed, lambda data: mutation.bytewise(random, data))
        return seed[: target.longest]

    seeds = st.sampled_from(sorted(set(target.seeds()), key=len))
    return st.builds(change, seeds, st.randoms(use_true_random=False), st.integers(1, 3))


@pytest.mark.parametrize("name", TARGETS)
def test_values_of_every_kind(name, record_property):
    """A32: hypothesis, the same inputs every time."""
    target, executions = TARGETS[name], 0
    everything = st.binary(max_size=200) | VALUES.map(mutation.spelled) | mutated(target) | mutated(target)

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(everything)
    def fuzz(data: bytes) -> None:
        nonlocal executions
        executions += 1
        target(data)

    fuzz()
    record_property("executions", executions)
    assert executions >= EXAMPLES


@pytest.mark.slow
def test_whatever_reaches_new_code(tmp_path, record_property):
    """A32, I01, I02: atheris, with the same seed every time; 10^5 executions and not one untyped error."""
    need_atheris()
    done = started(str(RUN), "--findings", str(tmp_path))
    counts = dict(re.findall(r"^(\w+): (\d+) executions, no finding$", done.stdout, re.MULTILINE))
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert counts.keys() == {one.name for one in TARGETS.values()}
    # libFuzzer may run a few inputs more than it was told to, but never fewer
    assert [name for name, count in counts.items() if int(count) < TARGETS[name].runs] == []
    executions = sum(map(int, counts.values()))
    record_property("executions", executions)
    assert executions >= WANTED


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as the runner needs it."""
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)


BROKEN = """
import sys
sys.path[:0] = [{tests!r}]
from fuzz import judging, run, targets

def judge(data):
    if data[:1] == b"k":
        raise KeyError("not one of ours")

one = judging.Target("broken", judge, {{}}, lambda: [b"seed"], lambda _, data, raw: raw(data), 20_000)
targets.TARGETS = {{"broken": one}}
sys.exit(run.main(["broken", "--findings", {findings!r}]))
"""


def need_atheris() -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not here: pip install 'atheris>=3' (Linux on x86-64, Python 3.11 to 3.13)")


def test_a_finding_ends_the_run_and_is_kept(tmp_path):
    """Otherwise no run would ever say anything: a target that breaks on one first byte among 256."""
    need_atheris()
    done = started("-c", BROKEN.format(tests=str(RUN.parent.parent), findings=str(tmp_path)))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "broken: " in done.stdout
    assert "a finding" in done.stdout
    assert "KeyError: 'not one of ours'" in done.stdout
    assert "1 findings" in done.stdout
    assert [path.read_bytes()[:1] for path in tmp_path.iterdir()] == [b"k"]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_kept_inputs(name, record_property):
    """What earlier runs found to reach new code stays without a finding."""
    target = TARGETS[name]
    kept = [path.read_bytes() for path in sorted((run.CORPUS / name).glob("*"))]
    inputs = [*target.seeds(), *kept]
    for data in inputs:
        target(data)
    record_property("executions", len(inputs))
    assert len(inputs) > len(kept) > 0


def test_the_corpus_stays_small():
    found = [path for path in run.CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in found} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in found) < LARGEST_CORPUS


@pytest.mark.parametrize("name", ["head", "file", "jws", "trust", "toc", "onnx"])
def test_mutations_reach_behind_the_syntax(name):
    """A fuzzer whose inputs all end at the first check finds nothing; some must pass, in many ways."""
    target, random = TARGETS[name], Random(5)  # noqa: S311 - the same every time
    seeds, outcomes = list(target.seeds()), set()
    for _ in range(1500):
        data = target.mutate(random, random.choice(seeds), lambda some: mutation.bytewise(random, some))
        try:
            target.judge(data)
            outcomes.add("accepted")
        except tuple(target.refusals) as error:
            outcomes.add(error.code)
    assert "accepted" in outcomes
    wanted = set().union(*target.refusals.values()) - {Code.JSON_TOO_LARGE}
    assert outcomes - {"accepted"} >= wanted, wanted - outcomes


def broken(judge) -> Target:
    """Return a target that does what it is given."""
    refusals = {IntegrityError: frozenset((Code.FILE_FORMAT,))}
    return Target("broken", judge, refusals, lambda: [b"seed"], lambda _, data, raw: raw(data), 1)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        RecursionError(),
        MemoryError(),
        IntegrityError(Code.FILE_DIGEST, "another code than the documented ones"),
        IntegrityError(Code.FILE_FORMAT, "not printable \x1b[0m"),
        AssertionError("an invariant"),
    ],
)
def test_what_counts_as_a_finding(error):
    def judge(_: bytes) -> None:
        raise error

    with pytest.raises((type(error), AssertionError)):
        broken(judge)(b"anything")


def test_memory_is_a_finding():
    measured = next(bytes([one]) for one in range(256) if judging.zlib.crc32(bytes([one])) % judging.MEASURED == 0)
    with pytest.raises(AssertionError, match="bytes were taken"):
        broken(lambda _: bytearray(judging.MEMORY + 1))(measured)
    broken(lambda _: bytearray(judging.MEMORY // 2))(measured)


@pytest.mark.parametrize("manifest", [b"1," * 2**19, b'{"a":{}},' * 110_000, b"," * 2**20, b'"\\u0100",' * 110_000])
def test_a_manifest_of_small_values_is_refused_before_it_is_parsed(manifest):
    """A14, A32: 1 MiB of the right size became 40 MiB of objects, and some of it an error no page knew."""
    core = next(iter(file_targets.parts(1)))
    lists = (b'{"segments":[' + manifest[: 2**20 - 15]).rstrip(b",") + b"]}"
    data = mutation.joined_head(sealed.header.MAGIC + bytes([1, 1]) + bytes(22), core, lists, bytes(32), b"[]")

    def judge(data: bytes) -> None:
        with pytest.raises(IntegrityError) as refusal:
            sealed.parse_head(data, file_size=None)
        assert refusal.value.code == Code.FILE_FORMAT

    padded = next(
        data + bytes(size) for size in range(10_000) if judging.zlib.crc32(data + bytes(size)) % judging.MEASURED == 0
    )
    broken(lambda some: judge(some[: len(data)]))(padded)


@pytest.mark.parametrize(("length", "code"), [(1025, "file-format"), (85, "json-not-canonical"), (84, "file-format")])
def test_a_signature_is_as_long_as_its_algorithm_makes_it(length, code):
    """I02: as the reader in a second language has it, of two faults the length is told first (section 3)."""
    block = mutation.spelled([{"alg": "Ed25519", "key": "A" * 43, "sig": "A" * length}])
    with pytest.raises(IntegrityError) as refusal:
        file_targets.judge_signatures(block)
    assert refusal.value.code == code


def test_the_oracle_of_canonical_json_is_not_the_decoder():
    """I02: it must say no by itself to what the decoder refuses."""
    wrong = (
        b"01",
        b"1.0",
        b"-0",
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'"\\u00E9"',
        b'"\\/"',
        b"[1 ]",
        b'{"A":1}',
        b"NaN",
    )
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    assert not any(map(file_targets.spelling_of, (*wrong, deep, b'"\\ud800"', b"9007199254740992")))
    assert file_targets.spelling_of(b'{"a":[true,-1,"\\u00e9"]}') == ({"a": [True, -1, "é"]},)


def test_cases_are_read_and_written_again():
    for case in file_targets.vectors():
        assert cases.Case.read(case.whole()) == case
    assert len(file_targets.vectors()) > 100
