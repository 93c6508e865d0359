"""SIGTERM and SIGHUP become an exception, as Ctrl-C does: whoever is writing takes back what is not whole."""

import signal
import threading
from types import FrameType

_STOPPED_BY = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end; a kind of interrupt, so that everything that knows those knows this."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop_on_signals() -> None:
    """Let signals that end a process raise `Stopped` in it, unless whoever started it wants them ignored."""
    if threading.current_thread() is not threading.main_thread():
        return  # handlers belong to the main thread: this is somebody else's process
    for number in _STOPPED_BY:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def signal_of(error: BaseException) -> int:
    """Return the signal behind an interrupt, also where a prompt has made another exception of it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, Stopped):
            return seen.number
        seen = seen.__context__
    return signal.SIGINT


def _stop(number: int, _frame: FrameType | None) -> None:
    for one in _STOPPED_BY:
        signal.signal(one, _go_on)  # a second one must not cut short what the first one began to clean
    raise Stopped(number)


def _go_on(_number: int, _frame: FrameType | None) -> None:
    """Take no notice."""
