"""The documents say what is true: links lead somewhere, commands and options exist, cited sections are there."""

import ast
import os
import re
import shlex
from pathlib import Path

import click
import pytest

from strongroom import errors
from strongroom.cli import root

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SPECS = {"sealed-file": ROOT / "docs/spec/sealed-file.md", "protocol": ROOT / "docs/spec/protocol.md"}
CODE = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py")])

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CITATION = re.compile(r"(sealed-file|protocol)\.md,? sections? ((?:\d+(?:, | and |-)?)+)")
HEADING = re.compile(r"^#{2,3} (\d+)\.? ", re.MULTILINE)
PATH_IN_TEXT = re.compile(r"`((?:src|tests|docs|requirements|\.ci)/[\w./*<>-]+|[\w-]+\.(?:md|toml))(?:::\w+)?`")
TEST_IN_TEXT = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PLACEHOLDER = re.compile(r"[*<>]")


def page_id(path):
    return str(path.relative_to(ROOT))


def commands(group=root, path=()):
    """Walk every command of the command line."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


def lines_of_commands(page):
    """Return every `strongroom …` line of a page's console and shell blocks, continuation lines joined."""
    found = []
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in {"", "console", "sh", "bash", "shell"}:
            for line in block.replace("\\\n", " ").splitlines():
                parts = re.split(r"&&|\||;", line.removeprefix("$ ").split("  #")[0])
                found += [part.strip() for part in parts if part.strip().startswith("strongroom ")]
    return found


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_named_in_the_text_exist(page):
    missing = [
        name
        for name in PATH_IN_TEXT.findall(page.read_text(encoding="utf-8"))
        if not PLACEHOLDER.search(name) and not (ROOT / name).exists() and not (page.parent / name).exists()
    ]
    assert [
        name for name in missing if name not in {"attestation.toml", "risk.toml", "strongroom.toml", "trust.json"}
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_tests_named_in_the_text_exist(page):
    """A control whose test was renamed or removed is a claim without a proof."""
    named = TEST_IN_TEXT.findall(page.read_text(encoding="utf-8"))
    missing = [(path, name) for path, name in named if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_blocks_are_python(page):
    """They parse, and what they use of strongroom exists."""
    import strongroom

    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language != "python":
            continue
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "strongroom":
                assert hasattr(strongroom, node.attr), f"strongroom.{node.attr} in {page.name}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_in_the_text_are_commands(page):
    for line in lines_of_commands(page):
        words = shlex.split(re.sub(r"\[[^\]]*\]|…|\.\.\.", "", line))[1:]
        words = words[: words.index(">")] if ">" in words else words
        path = next((tuple(words[:n]) for n in (3, 2, 1) if tuple(words[:n]) in COMMANDS), None)
        if path is None:
            assert words[0].startswith("-"), f"no such command: {line}"
            continue
        known = {option for parameter in COMMANDS[path].params for option in parameter.opts} | {"--help", "-h"}
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= known, f"{line}: {used - known}"


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_every_command_is_documented_and_has_an_example(path):
    name = "strongroom " + " ".join(path)
    assert name in (ROOT / "docs/cli.md").read_text(encoding="utf-8"), f"docs/cli.md does not mention `{name}`"
    command = COMMANDS[path]
    assert command.help, f"{name} has no help"
    # -h as the root has it: click keeps the help option it was first asked for, also for other tests
    shown = command.get_help(click.Context(command, info_name=name, help_option_names=["-h", "--help"]))
    assert "Example" in shown, f"{name} has no example in its help"


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_every_option_of_a_command_says_what_it_does(path):
    options = [parameter for parameter in COMMANDS[path].params if isinstance(parameter, click.Option)]
    assert [option.opts for option in options if not option.help] == []


def test_every_cited_section_exists():
    headings = {name: set(HEADING.findall(path.read_text(encoding="utf-8"))) for name, path in SPECS.items()}
    missing = []
    for path in [*CODE, *PAGES]:
        for spec, numbers in CITATION.findall(path.read_text(encoding="utf-8")):
            missing += [(page_id(path), spec, one) for one in re.findall(r"\d+", numbers) if one not in headings[spec]]
    assert missing == []


def test_the_fixed_sections_are_there_in_order():
    """Code and other clients cite them by number, so numbers never move."""
    for name, count in (("sealed-file", 14), ("protocol", 13)):
        found = re.findall(r"^## (\d+)", SPECS[name].read_text(encoding="utf-8"), re.MULTILINE)
        assert found[:count] == [str(number) for number in range(1, count + 1)], name


def test_every_error_code_is_in_the_specification():
    text = "".join(path.read_text(encoding="utf-8") for path in SPECS.values())
    missing = [str(code) for code in errors.Code if f"`{code}`" not in text]
    assert missing == []


def test_exit_codes_are_documented():
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    for code in (0, 1, 2, 4, 5, 6, 7):
        assert re.search(rf"(^|\W){code}(\W)", text), code


def test_no_file_names_a_machine_or_an_index_host():
    """A clone works anywhere: no path of the machine it was made on, no host that packages came from."""
    suspicious = re.compile(
        r"(?<![\w.-])/(?:w[o]rk|r[o]ot|opt|home/\w+)/|files\.python[h]osted|p[y]pi\.[o]rg|--(?:extra-)?index-url"
    )
    ignored = {".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__", ".hypothesis", "node_modules"}
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in ignored and not name.startswith(".venv")]
        for name in names:
            path = Path(folder) / name
            if path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".yaml", ""} and path != Path(__file__):
                try:
                    text = path.read_text(encoding="utf-8")
                except (UnicodeDecodeError, OSError):
                    continue
                found += [(page_id(path), match[0]) for match in suspicious.finditer(text) if path.name != "Makefile"]
    assert found == []


@pytest.mark.parametrize("name", ["device", "demo", "test", "bench", "lock"])
def test_requirements_are_pinned_and_hashed(name):
    """Every line pins one version, and every pin has a hash (R20)."""
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    assert all(re.match(r"[a-z0-9][\w.-]*(\[[\w,]+\])?==\S+ ", line) and "--hash=sha256:" in line for line in lines)
