"""What stands between a program and its TPM: it listens, or it changes what passes."""

from collections.abc import Callable

from strongroom.edge.tpm.transport import Transport, connect


class Bus:
    """A line that keeps every byte in both directions; `bend` may change answers."""

    def __init__(self, address: str) -> None:
        self._inner: Transport = connect(address)
        self.passed: list[bytes] = []
        self.bend: Callable[[bytes], bytes] = lambda answer: answer

    def exchange(self, command: bytes) -> bytes:
        self.passed.append(command)
        answer = self._inner.exchange(command)
        self.passed.append(answer)
        return self.bend(answer)

    def close(self) -> None:
        self._inner.close()

    @property
    def heard(self) -> bytes:
        """Everything that passed."""
        return b"|".join(self.passed)
