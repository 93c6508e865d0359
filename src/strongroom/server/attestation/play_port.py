"""What the use cases need of Google: that it decodes the Play Integrity tokens that only it can decode."""

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from strongroom.attest.play import Decoded
from strongroom.errors import Code, UnreachableError


class PlayDecoder(Protocol):
    """Asks who made a token what it says. The answer is judged by `attest.play`, not here."""

    async def decode(self, package: str, token: bytes) -> bytes:
        """Return the JSON of the verdict in a token of this package.

        Every failure is an error and none is a verdict: a device is no worse for an outage, and gets nothing by it.
        Ask once for each token, since a second answer about a standard token holds no verdict any more.

        Args:
            package: name of the Android package that the token should be of.
            token: as the device sent it.

        Raises:
            UnreachableError: EVIDENCE, when this is no token of this package, by its spelling or by what the other
                side says; UNREACHABLE, CERTIFICATE or ANSWER, when nobody can say.
        """
        ...


@runtime_checkable
class Closes(Protocol):
    """A decoder that has threads or connections of its own."""

    def close(self) -> None:
        """Let them end; what is on its way is not waited for."""
        ...


async def ask(decoder: PlayDecoder, token: bytes, packages: Sequence[str]) -> Decoded:
    """Return the answer about a token, which is of one of these packages (`attest.play.packages_to_ask`).

    They are tried in their order; the first that the other side decodes the token for is the one.

    Raises:
        UnreachableError: EVIDENCE, when it is a token of none of them; another code when that cannot be said.
    """
    found = UnreachableError(Code.EVIDENCE, "there is no package to ask about")
    for package in packages:
        try:
            verdict = await decoder.decode(package, token)
        except UnreachableError as error:
            found = error if found.code == Code.EVIDENCE else found  # one doubt is enough to be in doubt
        else:
            return Decoded(package, hashlib.sha256(token).digest(), verdict)
    raise found
