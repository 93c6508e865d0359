"""Runs the fuzz targets under atheris, which sees what every input reaches (docs/fuzzing.md).

    python tests/fuzz/run.py [TARGET …] [--runs N | --seconds N] [--seed N] [--corpus DIR] [--findings DIR]
    python tests/fuzz/run.py TARGET --replay FILE …

It says for each target how many inputs were executed. A finding ends the run with status 1; its input is kept.
"""

import argparse
import hashlib
import os
import re
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
CORPUS = HERE / "corpus"  # what earlier runs found beyond the seeds
EXECUTED = re.compile(rb"stat::number_of_executed_units:\s+(\d+)")
SHOWN = 6000  # bytes of libFuzzer's last words


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the status of the process."""
    asked = _asked(arguments)
    targets = _instrumented()
    names = asked.targets or list(targets)
    if unknown := sorted(set(names) - targets.keys()):
        _say(f"no such target: {', '.join(unknown)}; there are {', '.join(targets)}")
        return 2
    if asked.replay:
        for path in asked.replay:
            targets[names[0]](path.read_bytes())
            _say(f"{names[0]}: {path} is accepted, or refused as it should be")
        return 0
    with tempfile.TemporaryDirectory(prefix="strongroom-fuzz-") as scratch:
        executed = [_run(targets[name], asked, Path(scratch)) for name in names]
    _say(f"total: {sum(map(abs, executed))} executions, {sum(count < 0 for count in executed)} findings")
    return int(any(count < 0 for count in executed))


def _asked(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Fuzz strongroom's parsers and readers with atheris.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to fuzz; everything by default")
    parser.add_argument("--runs", type=int, help="executions of each target; by default what CI runs")
    parser.add_argument("--seconds", type=int, help="time for each target instead, where --runs is not given")
    parser.add_argument("--seed", type=int, default=1, help="of all choices (default 1); 0 for another one each time")
    parser.add_argument("--corpus", type=Path, help="where new inputs are kept, a folder for each target")
    parser.add_argument("--findings", type=Path, default=Path(".fuzz/findings"), help="where findings are kept")
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE", help="judge these inputs and nothing else")
    return parser.parse_args(arguments)


def _instrumented() -> dict:
    """Import the rooms under test so that atheris counts what runs in them."""
    import atheris

    said, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)  # one line for each module
    try:
        with atheris.instrument_imports(include=["strongroom"]):
            from fuzz.targets import TARGETS
    finally:
        os.dup2(said, 2)
        os.close(silence)
    return TARGETS


def _run(target, asked: argparse.Namespace, scratch: Path) -> int:
    """Fuzz one target in a child, since libFuzzer ends its process; return executions, negative after a finding."""
    seeds, new, log = scratch / target.name, (asked.corpus or scratch / "new") / target.name, scratch / "log"
    for folder in (seeds, new, asked.findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (seeds / f"{number:04}").write_bytes(data)
    timed = asked.seconds and not asked.runs
    limit = f"-max_total_time={asked.seconds}" if timed else f"-runs={asked.runs or target.runs}"
    arguments = [
        "fuzz", limit, f"-seed={asked.seed}", f"-max_len={target.longest}", "-timeout=10", "-rss_limit_mb=2048",
        "-len_control=0", "-verbosity=0", "-print_final_stats=1",
        f"-artifact_prefix={asked.findings.resolve()}/{target.name}-",
        str(new), str(seeds), *([str(CORPUS / target.name)] if (CORPUS / target.name).is_dir() else []),
    ]  # fmt: skip
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _fuzz(target, arguments, log, asked.findings)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    words = log.read_bytes()
    found = EXECUTED.findall(words)
    count = int(found[-1]) if found else 0
    _say(f"{target.name}: {count} executions, {'no finding' if status == 0 else f'a finding (status {status})'}")
    if status:
        _say(words[-SHOWN:].decode("utf-8", "replace"))
    shutil.rmtree(seeds)
    return count if status == 0 else -max(count, 1)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fuzz(target, arguments: list[str], log: Path, findings: Path) -> None:
    """Become libFuzzer; never returns."""
    import atheris

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        changed = target.mutate(Random(seed), data, lambda some: atheris.Mutate(some, most))  # noqa: S311 - to be repeated
        return changed[:most]

    def judge(data: bytes) -> None:
        try:
            target(data)
        except BaseException:  # libFuzzer keeps what crashed or took too long; a Python error is kept here
            (findings / f"{target.name}-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
            raise

    status = 1
    try:
        atheris.Setup(arguments, judge, custom_mutator=mutate)
        atheris.Fuzz()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it was, this process must not go on as a second parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
