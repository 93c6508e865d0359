"""Options that several commands share, each spelled once."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


class _Path(click.Path):
    """A path; whether it is there is asked when it is opened, when the answer cannot change any more."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's own
        """Refuse an empty word: as a path it would be the current directory."""
        if value == "":
            self.fail("a path is not empty", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class OfficeAt:
    """Where the office is, as far as the command line says it; the rest is found (`places.office`)."""

    config: Path | None = None
    admin_url: str | None = None
    token_file: Path | None = None
    trust: Path | None = None


def json_option(function: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def yes_option(function: Function) -> Function:
    """Add `--yes`."""
    return click.option("--yes", is_flag=True, help="Do it without asking.")(function)


def home_option(function: Function) -> Function:
    """Add `--home`."""
    option = click.option(
        "--home",
        type=PATH,
        metavar="DIR",
        help="The device directory. [default: $STRONGROOM_HOME, else ~/.local/share/strongroom]",
    )
    return option(function)


def config_option(function: Function) -> Function:
    """Add `--config`."""
    option = click.option(
        "--config",
        "config_file",
        type=PATH,
        metavar="FILE",
        help="The server's strongroom.toml. [default: $STRONGROOM_CONFIG, else here, else ./strongroom]",
    )
    return option(function)


def office_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add what says where the office is, and hand it over as one value `at`."""

    @config_option
    @click.option("--admin-url", metavar="URL", help="The admin API. [env: STRONGROOM_ADMIN_URL]")
    @click.option(
        "--token-file",
        type=PATH,
        metavar="FILE",
        help="The operator's token. [env: STRONGROOM_TOKEN_FILE, or the token itself in STRONGROOM_ADMIN_TOKEN]",
    )
    @click.option("--trust", "trust_file", type=PATH, metavar="FILE", help="The trust file. [env: STRONGROOM_TRUST]")
    @functools.wraps(function)
    def with_office(
        *,
        config_file: Path | None,
        admin_url: str | None,
        token_file: Path | None,
        trust_file: Path | None,
        **rest: Any,  # noqa: ANN401 - the command's own parameters
    ) -> None:
        function(at=OfficeAt(config_file, admin_url, token_file, trust_file), **rest)

    return with_office


def confirmed(question: str, *, yes: bool, declined: str, unasked: str = "this cannot be undone: say --yes") -> None:
    """Ask before something is destroyed; without a terminal only `--yes` counts.

    Args:
        question: what is asked.
        yes: it is answered already.
        declined: what is said when the answer is no.
        unasked: what is said when nobody can be asked.

    Raises:
        click.UsageError: nobody can be asked.
        click.exceptions.Exit: 1, the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(unasked)
    if not click.confirm(question, err=True):
        click.echo(declined, err=True)
        raise click.exceptions.Exit(1)
