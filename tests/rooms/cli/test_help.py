"""Help: every command has an example, and printing the root's help loads nothing heavy."""

import json
import os
import subprocess
import sys

import click
import pytest

from strongroom.cli import SECTIONS, root

HEAVY = (
    "cryptography",
    "urllib3",
    "sqlalchemy",
    "onnxruntime",
    "numpy",
    "fastapi",
    "pydantic",
    "structlog",
    "rich",
    "asyncio",
)


def commands(group=root, path=("strongroom",)):
    """Every leaf command with its path; builder of the table that docs/cli.md is held to."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        if path == ("strongroom",) and name == "demo":
            continue  # has its own tests
        found = group.get_command(ctx, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


LEAVES = list(commands())


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path[1:]) for path, _ in LEAVES])
def test_every_command_has_an_example_that_parses(path, command):
    assert command.examples
    for line in command.examples:
        words = line.split(" > ")[0].split()
        assert tuple(words[: len(path)]) == path, line
        command.make_context(path[-1], words[len(path) :], resilient_parsing=False)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path[1:]) for path, _ in LEAVES])
def test_every_option_says_what_it_is_for(path, command):
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path}: {parameter.name}"
            # D11: no secret is ever an argument; files and environment only
            assert not {"--token", "--password", "--passphrase", "--key", "--secret"} & set(parameter.opts)


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path[1:]) for path, _ in LEAVES])
def test_help_needs_no_set_up(path, command, cli):
    outcome = cli(*path[1:], "--help")
    assert outcome.code == 0
    assert outcome.err == ""
    assert all(line in outcome.out for line in command.examples)


@pytest.mark.parametrize(
    "group", ["account", "device", "file", "lease", "model", "operator", "store", "token", "trust"]
)
def test_a_noun_alone_prints_its_verbs(group, cli):
    outcome = cli(group, "--help")
    assert outcome.code == 0
    assert "Commands:" in outcome.out


def test_the_static_table_says_what_the_commands_say(cli):
    outcome = cli("--help")
    assert outcome.code == 0
    for section, entries in SECTIONS.items():
        assert f"{section}:" in outcome.out
        for name in entries:
            assert f"\n  {name} " in outcome.out


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], [], ["model", "--help"]], ids=["help", "version", "nothing", "noun"]
)
def test_help_and_version_load_nothing_heavy(args):
    """R22: the command line starts on a small device; measured in a process of its own."""
    script = (
        "import sys, json\n"
        "from strongroom.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert done.stdout or args == []


def test_a_real_process(tmp_path):
    """`python -m strongroom`, with its true exit codes and a closed pipe."""
    environment = os.environ | {"STRONGROOM_HOME": str(tmp_path / "none")}
    base = [sys.executable, "-m", "strongroom"]
    done = subprocess.run([*base, "--version"], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("strongroom ")
    done = subprocess.run(
        [*base, "file", "inspect", "nothing.srm"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    read, write = os.pipe()
    os.close(read)  # nobody reads any more
    done = subprocess.run(
        [*base, "--help"], stdout=write, stderr=subprocess.PIPE, text=True, env=environment, check=False
    )
    os.close(write)
    assert done.returncode == 141
    assert done.stderr == ""
