"""Real TPMs for the keystore that needs one."""

from swtpm import chip, other_chip  # noqa: F401 - fixtures are found by their names
