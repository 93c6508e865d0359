"""Tokens that are shown once: their place is made ready before they are asked for, and a loss is said as one."""

from collections.abc import Callable
from pathlib import Path

from strongroom.canonical import JsonValue
from strongroom.cli import printing
from strongroom.cli.streams import OutputError, require_output
from strongroom.errors import Code, StoreError

Made = dict[str, JsonValue]


def hand_over(
    out: Path | None, make: Callable[[], Made], show: Callable[[Made], None], *, lost: str, again: str
) -> None:
    """Have a token made and put it where it was asked for.

    Args:
        out: a new file of mode 0600 for the token alone, or None for standard output.
        make: asks the office; nothing is made if there is no place for the token.
        show: prints what was made, without the token if that is in a file.
        lost: what to say if the token was made and could not be written after all.
        again: what to do then.

    Raises:
        InputError: ALREADY_THERE.
        SetupError: PERMISSIONS.
        StoreError: the token has no place, or was made and is lost.
        StrongroomError: as `make`.
    """
    from strongroom.operator.office import text
    from strongroom.operator.small_files import reserved

    if out is None:
        require_output()
        made = make()
        try:
            show(made)
        except (OutputError, BrokenPipeError) as error:
            reason = error.what if isinstance(error, OutputError) else "nobody read it"
            raise OutputError(Code.STORE_IO, f"{lost}: {reason}", where="standard output", next_step=again) from None
        return
    with reserved(out, what="token") as place:
        made = make()
        try:
            place.write(text(made, "token").encode() + b"\n")
        except StoreError as error:
            raise StoreError(error.code, f"{lost}: {error.what}", where=error.where, next_step=again) from None
    del made["token"]
    printing.note(f"token written to {out}")
    show(made)
