"""Which extra a command needs, said before anything else goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.errors import Code, SetupError


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import the packages of an extra inside this block.

    Raises:
        SetupError: MISSING_EXTRA, with the exact line that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "strongroom":
            raise  # one of our own files is missing: that is our fault, not a missing extra
        next_step = f'run: pip install "strongroom[{extra}]"'
        raise SetupError(
            Code.MISSING_EXTRA, f"this needs the extra `{extra}` ({error.name} is missing)", next_step=next_step
        ) from None
