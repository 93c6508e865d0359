"""Following trust.json on this device: step by step, from the document in force, never back (protocol.md section 3)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from strongroom.edge.exchange import Answer, Exchange, accepted
from strongroom.edge.state import State
from strongroom.edge.store import Store
from strongroom.errors import Code, StrongroomError, UnreachableError
from strongroom.wire import trust as trust_of
from strongroom.wire.messages import TrustAnswer
from strongroom.wire.trust import Trust

Unpinned = Callable[[str, int], Answer]  # server and version to what anybody at its address answers

_NOT_WHO_IT_WAS = {Code.PIN_MISMATCH, Code.CERTIFICATE}


def fetch(way: Exchange, version: int) -> list[bytes]:
    """Ask the office for the documents after a version. They are only bytes until `adopt` has followed them.

    Raises:
        UnreachableError: no connection, a wrong pin, an answer that is no answer.
        IntegrityError: SHAPE or JSON_NOT_CANONICAL, if the answer is malformed.
    """
    return _documents(accepted(way.request("GET", f"/v1/trust?from={version}", limit=TrustAnswer.LIMIT)))


def fetch_unpinned(unpinned: Unpinned | None, trust: Trust, error: UnreachableError) -> list[bytes]:
    """Ask for the documents without pins, after the pins were the trouble: pins and certificates may have been changed.

    Whoever answers is nobody known, so an answer that does not hold counts for nothing, and the trouble stays.

    Raises:
        UnreachableError: the error given, unless there is a chain that holds.
    """
    if unpinned is None or error.code not in _NOT_WHO_IT_WAS:
        raise error
    try:
        documents = _documents(accepted(unpinned(trust.server, trust.version)))
        trust_of.follow(trust, documents)
    except StrongroomError:
        raise error from None
    if not documents:
        raise error
    return documents


def adopt(store: Store, base: Trust, documents: Sequence[bytes]) -> bytes:
    """Follow a chain that begins after `base`, in the store too; return the document in force then.

    The store's document is read, followed and written under one lock: another process may have come further.

    Raises:
        IntegrityError, RefusedError: the chain does not hold; the document in force stays.
        StoreError: the device directory cannot be used.
    """
    trust_of.follow(base, documents)
    if store.read() is None:
        return documents[-1]

    def change(state: State) -> State:
        now = trust_of.read(state.trust_document())
        rest = documents[max(0, now.version - base.version) :]
        if not rest:
            return state
        trust_of.follow(now, rest)
        return replace(state, trust=trust_of.split(rest[-1]))

    return store.update(change).trust_document()


def passed(trust: Trust, document: bytes) -> bool:
    """Say whether a document that the user names was in force here before, or is: then there is nothing to follow.

    A program goes on naming the document it began with, long after the device has followed newer ones.
    """
    one = trust_of.read(document)
    keys = [{key.key_id for each in which.owner.principals for key in each.keys} for which in (trust, one)]
    return one == trust or (one.version < trust.version and bool(keys[0] & keys[1]))


def _documents(answer: bytes) -> list[bytes]:
    return [trust_of.join(one) for one in TrustAnswer.from_bytes(answer).trust]
