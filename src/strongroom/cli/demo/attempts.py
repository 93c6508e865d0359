"""Attacks from a device's side: with its real keys, against the real server, past the client's own good manners."""

import os
import time
from collections.abc import Callable
from typing import Any

from strongroom import names
from strongroom.canonical import from_base64url, to_base64url
from strongroom.cli.demo.watch import RELEASES, Replaced, Watch, watched
from strongroom.edge import request
from strongroom.edge.client import Room
from strongroom.edge.clock import read_clocks
from strongroom.edge.enrol import thumbprint
from strongroom.edge.exchange import Exchange, Line, Token, accepted
from strongroom.edge.request import Release
from strongroom.errors import Code, StoreError, StrongroomError
from strongroom.signing import Signer
from strongroom.wire import dpop, hpke, jws
from strongroom.wire.binding import Binding
from strongroom.wire.grant import open_grant
from strongroom.wire.messages import Grant, ReleaseAnswer, UrlsAnswer, UrlsRequest
from strongroom.wire.proofs import prove

Json = dict[str, Any]

EXPIRY_PATIENCE = 10.0  # seconds to wait for a link of one second to end
LINKS = 5  # asked for at most, until one worked
SAMPLE = 64  # bytes read by a link to see whether it still works


def replay(reference: str) -> Json:
    """Be released a model, then send the very same request again: unchanged, and under a fresh proof."""
    with watched() as (room, watch):
        line, identity = line_of(room, watch), room.identity
        ask(line, room, reference).wipe()
        sent = watch.release()
        now = read_clocks().wall
        fresh = dpop.make(line.signer, "POST", line.url(RELEASES), identity.token, now, os.urandom(16))
        return {
            "unchanged": outcome(lambda: again(watch, sent.body, dict(sent.headers))),
            "fresh": outcome(lambda: again(watch, sent.body, {**sent.headers, "DPoP": fresh})),
            "answer": to_base64url(sent.answer),
        }


def expire(reference: str) -> Json:
    """Ask for a link that lives one second, use it, and use it until it does not work any more."""
    with watched() as (room, watch):
        line = line_of(room, watch)
        given = ask(line, room, reference)
        given.wipe()
        url = working_link(line, room, given.grant)
        started = time.monotonic()
        while time.monotonic() - started < EXPIRY_PATIENCE:
            ended = outcome(lambda: watch.read_range(url, 0, SAMPLE))
            if ended["code"]:
                return {**ended, "seconds": time.monotonic() - started}
            time.sleep(0.05)
        return {"code": "", "what": "the link still works", "seconds": EXPIRY_PATIENCE}


def foreign(reference: str, answer: str) -> Json:
    """Try to use the answer that another account's device was given: as a client would, then without its checks."""
    theirs = from_base64url(answer)
    with watched() as (room, watch):
        line, identity = line_of(room, Replaced(watch, theirs)), room.identity

        def forced() -> object:
            grant = Grant.from_bytes(jws.unverified_payload(ReleaseAnswer.from_bytes(theirs).grant[0], "grant"))
            ephemeral = hpke.EphemeralKey.generate(hpke.DEFAULT_KEM)
            binding = Binding(
                purpose="release",
                challenge=grant.challenge,
                kem=ephemeral.kem,
                public_key=ephemeral.public,
                account=identity.account,
                device=identity.id,
                device_key=thumbprint(line.signer.public),
                platform="linux",
                model=grant.model,
                version=names.parse_reference(reference).selector,
            )
            return open_grant(grant, ephemeral, binding)

        return {"client": outcome(lambda: ask(line, room, reference)), "forced": outcome(forced)}


def ask(line: Line, room: Room, reference: str) -> Release:
    """Ask for a model's keys as the client does. Raises as `request.ask`."""
    wanted = names.parse_reference(reference)
    return request.ask(line, room.trust, room.identity, wanted, have=None, high_water=None, signals={})


def line_of(room: Room, exchange: Exchange) -> Line:
    """Return the device's line, over an exchange of ours.

    Raises:
        StoreError: STORE_DAMAGED, if the device key is gone.
    """
    signer: Signer | None = room.store.keystore.device_key()
    if signer is None:
        raise StoreError(Code.STORE_DAMAGED, "the device key is gone", where=str(room.store.home))
    return Line(exchange, room.trust.server, signer, read_clocks)


def outcome(attempt: Callable[[], object]) -> Json:
    """Say how an attempt was refused; an empty code if it was not."""
    try:
        attempt()
    except StrongroomError as error:
        return {"code": str(error.code), "what": error.what}
    return {"code": "", "what": "it was not refused"}


def again(exchange: Watch, body: bytes, headers: dict[str, str]) -> None:
    """Send the same bytes once more. Raises what the server says."""
    accepted(exchange.request("POST", RELEASES, body=body, headers=headers, limit=ReleaseAnswer.LIMIT))


def working_link(line: Line, room: Room, grant: Grant) -> str:
    """Return a link of one second that has just worked.

    Links end on whole seconds, so one made late in a second is over at once: then another is asked for.

    Raises:
        RefusedError: URL_EXPIRED, if none worked.
    """
    for _ in range(LINKS - 1):
        url = short_link(line, room, grant)
        if not outcome(lambda: line.exchange.read_range(url, 0, SAMPLE))["code"]:  # noqa: B023 - called at once
            return url
    url = short_link(line, room, grant)
    line.exchange.read_range(url, 0, SAMPLE)
    return url


def short_link(line: Line, room: Room, grant: Grant) -> str:
    """Ask for a link to the grant's first file that lives one second."""
    identity = room.identity
    token = Token("DPoP", identity.token)
    challenge = line.challenge("urls", grant.model, token).challenge
    binding = Binding.urls(
        challenge=challenge,
        account=identity.account,
        device=identity.id,
        device_key=thumbprint(line.signer.public),
        model=grant.model,
        version=grant.version,
    )
    path = f"{RELEASES}/{grant.release_id}/urls"
    asked = prove(UrlsRequest(challenge, "", seconds=1), line.signer, binding, "POST", line.url(path), identity.token)
    return UrlsAnswer.from_bytes(line.post(path, asked.to_bytes(), token, limit=UrlsAnswer.LIMIT)).urls[0]
