"""Grants: the server's signed answer to one request, and the keys sealed in it (docs/spec/protocol.md section 8).

HPKE does not say who sealed, so the release role's signature is checked first; the signature does not say for whom,
so the binding is checked by HPKE. Neither suffices alone, and `read_grant` and `open_grant` together check both.
"""

import dataclasses
import hmac
from collections.abc import Callable, Iterable, Sequence

from strongroom.errors import Code, IntegrityError, InternalError, RefusedError, StrongroomError
from strongroom.sealed.keys import KEY_SIZE, ModelKey
from strongroom.sealed.wiping import wipe
from strongroom.signing import Signer
from strongroom.wire import hpke, jws, lease, second_secret
from strongroom.wire.binding import Binding
from strongroom.wire.messages import Grant, Have, ReleaseAnswer
from strongroom.wire.trust import Trust, check_fresh

TYP = "sr-grant"
KINDS = frozenset({"model", "overlay", "delta"})  # a local file never travels


def seal_keys(
    grant: Grant, binding: Binding, keys: Sequence[ModelKey], second: bytes | bytearray | None = None
) -> Grant:
    """Return the grant with the MEKs sealed to the binding's public key, in the order of `files`.

    Args:
        grant: what it says of the release; with a `credential` exactly if there is a second secret.
        binding: what the request is for.
        keys: one for each file.
        second: the secret that the credential holds, or None.

    Raises:
        InputError: KEM_UNSUPPORTED or PUBLIC_KEY.
        InternalError: when keys and files differ in number.
    """
    if len(keys) != len(grant.files):
        raise InternalError(Code.INTERNAL, "a grant needs one key for each file", where=grant.release_id)
    if (grant.credential is None) != (second is None):
        raise InternalError(Code.INTERNAL, "a second secret and its credential go together", where=grant.release_id)
    plaintext = bytearray().join(key.reveal() for key in keys)
    try:
        digest = binding.digest()
        content = plaintext if second is None else second_secret.wrap(second, digest, plaintext)
        sealed = hpke.seal(binding.kem, binding.public_key, hpke.release_info(digest, grant), content)
    finally:
        wipe(plaintext)
    return dataclasses.replace(grant, sealed=sealed)


def issue(grant: Grant, signers: Iterable[Signer]) -> ReleaseAnswer:
    """Sign a grant. What a device could not read is not signed.

    Raises:
        InternalError: when the grant is not of its own shape.
    """
    payload = grant.to_bytes()
    try:
        Grant.from_bytes(payload)
    except StrongroomError as error:
        raise InternalError(Code.INTERNAL, f"a grant cannot be read back: {error.what}", where=error.where) from None
    return ReleaseAnswer(jws.sign(TYP, payload, signers))


def read_grant(
    answer: ReleaseAnswer,
    trust: Trust,
    *,
    expected_request: bytes,
    expected_challenge: bytes,
    account: str,
    device: str,
    model: str,
    selector: str,
    at: int,
    high_water: tuple[int, int] | None,
    have: Have | None = None,
) -> Grant:
    """Check an answer against the request this device made. The numbered checks are those of the specification.

    Args:
        answer: as received.
        trust: the document in force.
        expected_request: SHA-256 of the request body as sent.
        expected_challenge: the challenge the request used up.
        account: this device's account.
        device: this device's identifier.
        model: the model asked for.
        selector: the version or "@channel" asked for.
        at: the device's time, Unix seconds.
        high_water: highest (epoch, counter) ever activated of this model, or None.
        have: what the request said the device has; only then may the answer carry no keys.

    Raises:
        RefusedError: TRUST_EXPIRED, GRANT_ROLLBACK, GRANT_FROZEN.
        IntegrityError: SIGNATURE, JSON_NOT_CANONICAL, JSON_TOO_LARGE, SHAPE, GRANT_MISMATCH, LEASE_MISMATCH.
    """
    check_fresh(trust, at)  # 1
    grant = Grant.from_bytes(jws.verify_role(answer.grant, TYP, trust.release, "grant"))  # 2, 3
    same = hmac.compare_digest(grant.request + grant.challenge, expected_request + expected_challenge)  # 4
    if not same:
        raise _mismatch(grant, "it answers another request")
    if (grant.account, grant.device, grant.model) != (account, device, model):  # 5
        raise _mismatch(grant, "it is for another account, device or model")
    if not selector.startswith("@") and grant.version != selector:
        raise _mismatch(grant, "it is for another version")
    _check_files(grant, trust)  # 6
    if grant.epoch > trust.epoch_of(model):  # 7: only the owners raise an epoch
        step = "tell the model's operator: only a newer trust.json may raise an epoch"
        raise _mismatch(grant, "it claims an epoch the owners have not set", step)
    if grant.epoch < trust.epoch_of(model):
        why = f"the owners have ended its epoch, {grant.epoch}; theirs is {trust.epoch_of(model)}"
        step = "ask the model's operator to publish it anew: what was published before keeps its epoch"
        raise _refused(Code.GRANT_ROLLBACK, grant, why, step)
    if high_water is not None and (grant.epoch, grant.counter) < high_water:
        why = f"it is {grant.epoch}.{grant.counter}, older than the {high_water[0]}.{high_water[1]} this device has had"
        step = "ask for the newest; only its operator can go back, by publishing the old one as a new version"
        raise _refused(Code.GRANT_ROLLBACK, grant, why, step)
    _check_latest(grant, selector, at)  # 8
    _check_lease(grant, trust)  # 9
    if grant.sealed is None and not _has(grant, have):  # 10
        raise _mismatch(grant, "it carries no keys, though this device has not said it holds that version")
    return grant


def open_grant(
    grant: Grant,
    ephemeral: hpke.EphemeralKey,
    binding: Binding,
    activate: Callable[[bytes], bytes | bytearray] | None = None,
) -> tuple[ModelKey, ...]:
    """Open the keys of a grant that `read_grant` returned; the ephemeral key is gone afterwards, whatever happens.

    Args:
        grant: the checked grant.
        ephemeral: the key made for this one request.
        binding: what the request was for, with this device's own values.
        activate: has this device's TPM open a credential (TPM2_ActivateCredential), if it has one.

    Returns:
        One key for each file, in order; none for a grant without `sealed` ("you have the newest").

    Raises:
        IntegrityError: SEALED_KEY, for every way the sealed keys can be wrong.
        InputError: KEY_REUSED, when the ephemeral key was used before.
    """
    try:
        if grant.sealed is None:
            return ()
        size = KEY_SIZE * len(grant.files) + (0 if grant.credential is None else second_secret.OVERHEAD)
        if len(grant.sealed) != hpke.sealed_size(ephemeral.kem, size):
            raise IntegrityError(
                Code.SEALED_KEY, "sealed keys are of another size than the files need", where=grant.model
            )
        plaintext = ephemeral.open(grant.sealed, hpke.release_info(binding.digest(), grant))
    finally:
        ephemeral.destroy()
    if grant.credential is not None:
        plaintext = _unwrapped(plaintext, grant, grant.credential, binding, activate)
    try:
        with memoryview(plaintext) as view:
            return tuple(ModelKey(view[at : at + KEY_SIZE]) for at in range(0, len(plaintext), KEY_SIZE))
    finally:
        wipe(plaintext)


def _unwrapped(
    wrapped: bytearray,
    grant: Grant,
    credential: bytes,
    binding: Binding,
    activate: Callable[[bytes], bytes | bytearray] | None,
) -> bytearray:
    try:
        if activate is None:
            what = "the keys of a grant are wrapped for a TPM that this device does not use"
            raise IntegrityError(Code.SEALED_KEY, what, where=grant.model, next_step="enrol this device with its TPM")
        second = _activated(activate, credential, grant)
        try:
            return second_secret.unwrap(second, binding.digest(), bytes(wrapped))
        finally:
            wipe(second)
    finally:
        wipe(wrapped)


def _activated(activate: Callable[[bytes], bytes | bytearray], credential: bytes, grant: Grant) -> bytearray:
    try:
        found = activate(credential)
    except IntegrityError as error:
        if error.code != Code.SHAPE:
            raise
        what = f"the keys of a grant are wrapped in what is no credential: {error.what}"
        raise IntegrityError(Code.SEALED_KEY, what, where=grant.model) from None
    second = bytearray(found)
    if isinstance(found, bytearray):
        wipe(found)
    return second


def _check_files(grant: Grant, trust: Trust) -> None:
    if len({one.file_id for one in grant.files}) != len(grant.files):
        raise _mismatch(grant, "it names a file twice")
    if any(one.kind not in KINDS or one.suite not in trust.suites for one in grant.files):
        raise _mismatch(grant, "it names a kind or suite of file that is not allowed")


def _check_latest(grant: Grant, selector: str, at: int) -> None:
    if at >= grant.latest.expires:
        step = "ask again; if that does not help, see that the clocks of this device and of the server are right"
        raise _refused(Code.GRANT_FROZEN, grant, "what it says of the newest version has expired", step)
    newest = (grant.latest.version, grant.latest.counter)
    if selector.startswith("@") and newest != (grant.version, grant.counter):
        why, step = "it is not for the newest version of the channel", "ask again, or tell the model's operator"
        raise _refused(Code.GRANT_ROLLBACK, grant, why, step)


def _check_lease(grant: Grant, trust: Trust) -> None:
    """Check all of the lease but the device key, which `lease.read_lease` compares at every opening."""
    found = lease.read_signed(grant.lease, trust)
    heads = tuple(one.head for one in grant.files)
    said = (found.request, found.challenge, found.account, found.model, found.version, found.files)
    if said != (grant.request, grant.challenge, grant.account, grant.model, grant.version, heads):
        raise IntegrityError(Code.LEASE_MISMATCH, "a grant carries a lease for something else", where=grant.model)


def _has(grant: Grant, have: Have | None) -> bool:
    if have is None or have.version != grant.version:
        return False
    return any(have.file_id == one.file_id for one in grant.files)


def _mismatch(grant: Grant, why: str, next_step: str = "") -> IntegrityError:
    where = f"{grant.model}@{grant.version}"
    return IntegrityError(Code.GRANT_MISMATCH, f"a grant is refused: {why}", where=where, next_step=next_step)


def _refused(code: Code, grant: Grant, why: str, next_step: str) -> RefusedError:
    return RefusedError(code, f"a grant is refused: {why}", where=f"{grant.model}@{grant.version}", next_step=next_step)
