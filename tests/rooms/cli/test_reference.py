"""docs/cli.md says what `--help` says. Run this file to write it anew."""

from pathlib import Path

import click

from strongroom.cli import SECTIONS, root

DOCUMENT = Path(__file__).parents[3] / "docs" / "cli.md"
MARK = "and compared by the tests. -->\n"
ELSEWHERE = {"demo"}  # has its own page
WIDTH = 100


def leaves(command, ctx):
    """Every command below this one with its context."""
    if not isinstance(command, click.Group):
        yield command, ctx
        return
    for name in command.list_commands(ctx):
        found = command.get_command(ctx, name)
        yield from leaves(found, context(found, name, ctx))


def context(command, name, parent=None):
    """A context that prints help at one width, whatever the terminal."""
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],  # as the root has them; click keeps the first it was asked with
    )


def reference():
    """The generated part of the document."""
    top = context(root, "strongroom")
    parts = []
    for title, entries in SECTIONS.items():
        parts.append(f"\n## {title}\n")
        for name in [name for name in entries if name not in ELSEWHERE]:
            command = root.get_command(top, name)
            for leaf, ctx in leaves(command, context(command, name, top)):
                parts.append(f"\n### {ctx.command_path}\n\n```text\n{leaf.get_help(ctx)}\n```\n")
    return "".join(parts)


def test_the_document_says_what_help_says():
    written = DOCUMENT.read_text("utf-8")
    assert written.partition(MARK)[2] == reference(), f"run: python {Path(__file__).relative_to(DOCUMENT.parents[1])}"


def test_every_command_and_option_is_named():
    text = DOCUMENT.read_text("utf-8")
    top = context(root, "strongroom")
    for title, entries in SECTIONS.items():
        assert f"## {title}" in text
        assert all(f"strongroom {name}" in text for name in entries)
    for name in root.list_commands(top):
        if name in ELSEWHERE:
            continue
        command = root.get_command(top, name)
        for leaf, ctx in leaves(command, context(command, name, top)):
            section = text.partition(f"### {ctx.command_path}\n")[2].partition("### ")[0]
            assert section, ctx.command_path
            options = [one for parameter in leaf.params for one in parameter.opts if one.startswith("-")]
            assert [one for one in options if one not in section] == []


if __name__ == "__main__":
    DOCUMENT.write_text(DOCUMENT.read_text("utf-8").partition(MARK)[0] + MARK + reference(), "utf-8")
