"""New keys and trust documents on the server: whole or not at all, one at a time, and never one it could not serve."""

import fcntl
import os
import shutil

import pytest

from strongroom.errors import Code, StrongroomError
from strongroom.operator import ceremony
from strongroom.operator.ceremony import Changes
from strongroom.operator.keys import read_owner_key
from strongroom.server import succession, wiring
from strongroom.server.initialise import init
from strongroom.server.settings import load
from strongroom.wire import succession as papers
from strongroom.wire import trust as trust_of

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
