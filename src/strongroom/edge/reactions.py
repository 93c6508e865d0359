"""What the office asks of the people at a device, and tells its app (docs/spec/protocol.md section 18).

An app hands two functions to `connect`. Both are called in the thread that asked for the model, while no lock is held:
signing in takes as long as people take.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from strongroom.edge import given
from strongroom.errors import Code, InputError, StrongroomError

AUTHENTICATE, ATTEST = "authenticate", "attest"


@dataclass(frozen=True, slots=True)
class StepUp:
    """The office wants more before it goes on.

    Attributes:
        what: "authenticate", that its user signs in again; "attest", that the device is attested anew.
        reference: what the office's operator finds the reason under, or "".
        model: the model that was asked for.
    """

    what: str
    reference: str
    model: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """What an answer told the device besides.

    Attributes:
        words: "short-lease", "slow-down", "sign-in-again", or words that are newer than this strongroom.
        model: the model that was asked for.
    """

    words: tuple[str, ...]
    model: str


OnStepUp = Callable[[StepUp], str | None]
OnReaction = Callable[[Reaction], object]
_Told = TypeVar("_Told")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The app's two functions, if it has them; what goes wrong in them is told in their names."""

    on_step_up: OnStepUp | None = None
    on_reaction: OnReaction | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be called. Raises InputError(ARGUMENT)."""
        for name, one in (("on_step_up", self.on_step_up), ("on_reaction", self.on_reaction)):
            if one is not None and not callable(one):
                raise InputError(Code.ARGUMENT, f"{name} cannot be called", next_step=f"give {name} a function")

    def fresh_token(self, wanted: StepUp) -> str | None:
        """Ask the app for a token its user got just now; None if there is none to be had.

        Raises:
            InputError: ARGUMENT, if the function failed or returned what is no token.
            StrongroomError: as the function.
        """
        if self.on_step_up is None:
            return None
        token = _called("on_step_up", self.on_step_up, wanted)
        if token is None:
            return None
        try:
            given.token(token)
        except InputError:
            step = "return a user's access token, as a str, or None"
            raise InputError(Code.ARGUMENT, "on_step_up returned no access token", next_step=step) from None
        return str(token)

    def tell(self, words: tuple[str, ...], model: str) -> None:
        """Tell the app what an answer said, if it said anything. Raises as `fresh_token`."""
        if words and self.on_reaction is not None:
            _called("on_reaction", self.on_reaction, Reaction(words, model))


def _called(name: str, function: Callable[[_Told], object], told: _Told) -> object:
    try:
        return function(told)
    except StrongroomError:
        raise
    except Exception as error:
        what = f"{name} failed: {type(error).__name__}"
        step = "mend that function of the app; what is on this device is untouched"
        raise InputError(Code.ARGUMENT, what, next_step=step) from error
