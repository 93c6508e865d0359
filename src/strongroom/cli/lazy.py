"""Commands that load only when they are used, and whose help always ends in an example.

click's own group imports every subcommand to print its help. `Root` prints a static table instead, so that
`strongroom --help` imports neither cryptography nor the server's packages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click


class Command(click.Command):
    """A command with examples, printed at the end of its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse options that are given and empty: a variable of a script that was never set is not the default."""
        rest = super().parse_args(ctx, args)
        for param in self.params:
            value = ctx.params.get(param.name or "")
            if isinstance(param, click.Option) and (value == "" or (isinstance(value, tuple) and "" in value)):
                raise click.BadParameter("the value is empty", ctx=ctx, param=param)
        return rest

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as typed, never wrapped: a wrapped command line cannot be pasted."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Example" if len(self.examples) == 1 else "Examples"):
                for line in self.examples:
                    formatter.write(f"{' ' * formatter.current_indent}{line}\n")


class Noun(click.Group):
    """A noun whose verbs are `Command`s."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each verb with its whole first sentence; click would cut it."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(limit=200)) for name, verb in verbs if verb])


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the root's help, and how to load what it stands for."""

    help: str
    load: Callable[[], click.Command]


class Root(click.Group):
    """The root command: sections of entries, each loaded when it is called."""

    def __init__(self, *args: Any, sections: dict[str, dict[str, Entry]], **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self.sections = sections
        self._entries = {name: entry for section in sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        del ctx
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        del ctx
        entry = self._entries.get(cmd_name)
        return None if entry is None else entry.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the static table; nothing is loaded."""
        del ctx
        width = max(len(name) for name in self._entries)
        for title, entries in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.help) for name, entry in entries.items()])
