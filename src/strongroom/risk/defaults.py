"""The rules that are in force where an operator wrote none."""

from functools import lru_cache
from importlib.resources import files

from strongroom.risk.rules import Rules
from strongroom.risk.rules_file import read_rules

NAME = "default_rules.toml"


def default_text() -> str:
    """Return the shipped rules as written."""
    return files("strongroom.risk").joinpath(NAME).read_text("utf-8")


@lru_cache(maxsize=1)
def default_rules() -> Rules:
    """Return the shipped rules."""
    return read_rules(default_text(), NAME)
