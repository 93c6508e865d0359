"""New keys and trust documents on the server: whole or not at all, one at a time, and never one it could not serve."""

import dataclasses
import fcntl
import os
import shutil
from types import SimpleNamespace

import pytest

from protocol_client import run
from strongroom.errors import Code, DeniedError, SetupError, StrongroomError
from strongroom.operator import ceremony
from strongroom.operator.ceremony import Changes
from strongroom.operator.keys import read_owner_key
from strongroom.server import entitled, succession, wiring
from strongroom.server.initialise import init
from strongroom.server.ports import Entitlement
from strongroom.server.settings import load
from strongroom.server.stranding import stranded
from strongroom.signing import ED25519, Principal, Role, SigningKey
from strongroom.wire import succession as papers
from strongroom.wire import trust as trust_of
from strongroom.wire.hpke import DEFAULT_KEM, DepositKey
from strongroom.wire.trust import DepositRecipient

NOW = 1_790_000_000
YEAR = 365 * 86_400


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("made") / "room"
    init(directory, now=NOW, passphrase=None)
    return directory


@pytest.fixture
def settings(made, tmp_path):
    shutil.copytree(made, tmp_path / "room")
    return load(tmp_path / "room" / "strongroom.toml")


def next_paper(settings, *, lifetime=YEAR, **changes):
    trust, _ = wiring.read_trust(settings.resolve(settings.trust))
    document = papers.draft(ceremony.next_document(trust, Changes(lifetime, **changes), now=NOW))
    owner = read_owner_key(settings.resolve(settings.trust).parent / "owner" / "owner.key")
    return papers.sign(document, owner, trust).encode()


def refusal(call, *args, **known):
    with pytest.raises(StrongroomError) as caught:
        call(*args, **known)
    return caught.value.code


def version(settings):
    return wiring.read_trust(settings.resolve(settings.trust))[0].version


def test_the_chain_stays_whole_over_many_steps(settings):
    for expected in range(2, 6):
        succession.install(settings, next_paper(settings), now=NOW)
        office = wiring.open_office(settings)
        assert office.trust.version == expected
        assert len(office.trust_documents) == expected
        read = [trust_of.read(trust_of.join(one)) for one in office.trust_documents]
        assert [one.version for one in read] == list(range(1, expected + 1))


def test_a_power_cut_between_the_two_files_leaves_the_old_one_in_force(settings, monkeypatch):
    honest = succession._replace
    wrote = []

    def cut(path, data):
        if wrote:
            raise KeyboardInterrupt  # nothing after this happens
        wrote.append(path.name)
        honest(path, data)

    paper = next_paper(settings)
    monkeypatch.setattr(succession, "_replace", cut)
    with pytest.raises(KeyboardInterrupt):
        succession.install(settings, paper, now=NOW)
    monkeypatch.setattr(succession, "_replace", honest)
    assert wrote == ["trust.1.json"]
    assert version(settings) == 1
    succession.install(settings, paper, now=NOW)
    assert version(settings) == 2


def test_an_expired_document_and_one_without_our_keys_are_not_installed(settings):
    assert refusal(succession.install, settings, next_paper(settings), now=NOW + 2 * YEAR) == Code.TRUST_EXPIRED
    trust, _ = wiring.read_trust(settings.resolve(settings.trust))
    stranger = read_owner_key(settings.resolve(settings.trust).parent / "owner" / "owner.key")[0].public
    for role in ("release", "order"):
        ours = getattr(trust, role).principals[0].keys[0].key_id
        foreign = next_paper(settings, add=((role, (stranger,)),), drop=((role, ours),))
        assert refusal(succession.install, settings, foreign, now=NOW) == Code.CONFIG
    assert version(settings) == 1


def test_one_at_a_time(settings):
    handle = os.open(settings.resolve(settings.trust).parent, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert refusal(succession.install, settings, next_paper(settings), now=NOW) == Code.LOCKED
    finally:
        os.close(handle)
    succession.install(settings, next_paper(settings), now=NOW)


def test_a_rotation_that_fails_leaves_the_keyring_as_it_was(settings, monkeypatch):
    path = settings.resolve(settings.keyring)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(succession.new_directory, "write", full)
    assert refusal(succession.rotate, settings, "release") == Code.STORE_IO
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir() if one.name.endswith(".part")] == []


def test_the_keyring_is_private_after_a_rotation_and_opens_again(settings):
    made = succession.rotate(settings, "order")
    path = settings.resolve(settings.keyring)
    assert path.stat().st_mode & 0o777 == 0o600
    keyring = wiring.open_vault(settings)
    assert [one.public for one in keyring.signers("order")][1] == made.key
    assert succession.rotate(settings, "order") == made  # a lost public half costs nothing
    assert refusal(succession.rotate, settings, "token") == Code.ARGUMENT


def test_both_keys_named_is_a_step_that_has_to_be_finished_first(settings):
    made = succession.rotate(settings, "release")
    succession.install(settings, next_paper(settings, add=(("release", (made.key,)),)), now=NOW)
    assert len(wiring.open_office(settings).release_signers) == 2
    assert refusal(succession.rotate, settings, "release") == Code.CONFLICT


def way(settings, steps):
    """Return documents that follow one another; the directory stays at the first."""
    trust, _ = wiring.read_trust(settings.resolve(settings.trust))
    owner = read_owner_key(settings.resolve(settings.trust).parent / "owner" / "owner.key")
    made = []
    for _ in range(steps):
        document = papers.draft(ceremony.next_document(trust, Changes(YEAR), now=NOW))
        made.append(papers.sign(document, owner, trust).encode())
        trust = document.trust
    return made


def test_a_restored_server_catches_up_in_one_go(settings):
    """F19: trust.json of a backup made before two rotations; a call that was cut short is said again."""
    steps = way(settings, 3)
    succession.install(settings, steps[0], now=NOW)  # as far as a call came that was cut short
    succession.install(settings, *steps, now=NOW)
    assert version(settings) == 4
    assert len(wiring.open_office(settings).trust_documents) == 4
    assert succession.install(settings, way(settings, 1)[0], now=NOW)[1].version == 5


def test_an_old_trust_file_put_back_is_noticed(settings):
    """A server that hands out an older document than its devices follow serves nobody, and says so at its start."""
    path = settings.resolve(settings.trust)
    old = path.read_bytes()
    succession.install(settings, next_paper(settings), now=NOW)
    new = path.read_bytes()
    path.write_bytes(old)
    with pytest.raises(SetupError) as caught:
        wiring.open_office(settings)
    assert caught.value.code == Code.CONFIG
    assert caught.value.next_step.split()[-2:] == [str(path.with_name("trust.2.json")), str(path)]
    assert path.with_name("trust.2.json").read_bytes() == new  # what the next step names is the newest indeed


def test_a_threshold_this_server_cannot_meet_is_not_installed(settings):
    """Two signatures where the keyring has one key: no grant and no order would count."""
    stranger = (SigningKey.generate(ED25519).public,)
    for role in ("release", "order"):
        paper = next_paper(settings, add=((role, stranger),), threshold={role: 2})
        assert refusal(succession.install, settings, paper, now=NOW) == Code.CONFIG
        wider = next_paper(settings, add=((role, stranger),))  # one of two is enough: ours
        succession.install(settings, wider, now=NOW)


def test_a_document_that_shuts_everybody_out_is_not_installed(settings):
    """Pins that fit no certificate shown here, and deposit keys that nobody here holds."""
    trust, _ = wiring.read_trust(settings.resolve(settings.trust))
    host = trust.pins[0].host
    unpinned = next_paper(settings, pins={pin.host: (bytes(32),) for pin in trust.pins})
    foreign = DepositKey.generate(DEFAULT_KEM)
    elsewhere = next_paper(settings, deposit=(DepositRecipient(foreign.kem, foreign.public, NOW + YEAR),))
    for paper in (unpinned, elsewhere):
        assert refusal(succession.install, settings, paper, now=NOW) == Code.CONFIG
    assert version(settings) == 1
    more = next_paper(settings, pins={host: (bytes(32), *trust.pins[0].spki)})
    succession.install(settings, more, now=NOW)


def test_a_key_that_waits_and_was_stolen_is_replaced(settings):
    """B27: nothing has named it yet, so another may take its place; one that is named already stays."""
    stolen = succession.rotate(settings, "order")
    fresh = succession.rotate(settings, "order", discard=True)
    assert fresh.key != stolen.key
    assert [one.public for one in wiring.open_vault(settings).signers("order")][1] == fresh.key
    succession.install(settings, next_paper(settings, add=(("order", (fresh.key,)),)), now=NOW)
    assert refusal(succession.rotate, settings, "order", discard=True) == Code.CONFLICT


def test_versions_that_no_device_would_open_are_found_and_not_released():
    """B19: a second signature asked for after the files were signed; an epoch left behind is left on purpose."""

    async def story(bench):
        await bench.publish()
        device = await bench.device("ada", "digits")
        assert await stranded(bench.ledger, bench.office.trust) == ()
        await device.release()
        owner = bench.office.trust.owner
        both = Role(2, (*owner.principals, Principal((SigningKey.generate(ED25519).public,))))
        after = dataclasses.replace(bench.office.trust, owner=both)
        assert await stranded(bench.ledger, after) == (("digits", "1.0"),)
        assert await stranded(bench.ledger, dataclasses.replace(after, epochs=(("digits", 2),))) == ()
        caller = SimpleNamespace(**{part: SimpleNamespace(id=part) for part in ("device", "account", "user")})
        with pytest.raises(DeniedError) as caught:
            await released_under(bench, after, caller)
        assert caught.value.code == Code.NOT_FOUND
        assert "not signed by the owners" in caught.value.where
        assert await released_under(bench, bench.office.trust, caller)

    run(story)


async def released_under(bench, trust, caller):
    """Judge the version there is, for a caller with a right to it, under this trust document."""
    async with bench.ledger.begin() as tx:
        version = await tx.version("digits", "1.0")
        files = await tx.files(version.id)
    right = Entitlement("ent", caller.account.id, None, "digits", None, None, NOW, b"")
    right = dataclasses.replace(right, mac=entitled.entitlement_mac(bench.office.vault, right))
    office = dataclasses.replace(bench.office, trust=trust)
    seen = entitled.Seen([right], {}, version, files, (), None)
    return await entitled.judge(office, caller, seen, "digits", NOW, selector="1.0")
