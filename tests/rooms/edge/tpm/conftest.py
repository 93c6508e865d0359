"""Real TPMs."""

from swtpm import chip, other_chip  # noqa: F401 - fixtures are found by their names
