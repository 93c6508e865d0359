"""What a device does when the office asks for more, tells it something, or has stopped it (protocol.md section 18)."""

import dataclasses

import pytest

from rooms.edge.memory_office import DAY, USER_TOKEN, weights
from rooms.edge.reacting_office import REFERENCE, AppDevice, ReactingOffice, releases
from rooms.edge.test_attesting import Apps
from strongroom.edge import client
from strongroom.edge.folder import Folder
from strongroom.edge.lock import locked
from strongroom.edge.reactions import Reaction, StepUp
from strongroom.errors import Code, DeniedError, InputError, RefusedError, UnreachableError


@pytest.fixture
def office():
    office = ReactingOffice(lease_seconds=4 * DAY, max_offline=4 * DAY)
    office.publish("digits", "1.0", {"w": b"one" * 1000}, counter=1)
    office.publish("letters", "1.0", {"w": b"two" * 1000}, counter=1)
    return office


@pytest.fixture
def device(tmp_path, office):
    return AppDevice(tmp_path / "device", office)


class App:
    """An app's two functions, and what they were told."""

    def __init__(self, *tokens, trouble=None):
        self.tokens, self.trouble = [*tokens], trouble
        self.steps, self.told = [], []

    def sign_in(self, wanted):
        self.steps.append(wanted)
        return self._answer(self.tokens.pop(0) if self.tokens else None)

    def hear(self, reaction):
        self.told.append(reaction)
        return self._answer(None)

    def _answer(self, token):
        if self.trouble is not None:
            raise self.trouble
        return token


# step-up


@pytest.mark.parametrize("act", ["pull", "renew", "load"])
def test_a_user_signs_in_again_and_the_request_goes_on(device, office, act):
    """R91: the app is asked once, the device enrols with what its user gave, and the caller never hears of it."""
    app = App(USER_TOKEN)
    room = device.app(app.sign_in)
    if act == "renew":
        room.pull("digits")
    office.refuses = lambda path: Code.STEP_UP if path.startswith(("/v1/releases", "/v1/leases")) else None
    if act == "load":
        with room.load("digits") as model:
            assert model.version == "1.0"
    else:
        assert getattr(room, act)("digits").version == "1.0"
    assert app.steps == [StepUp("authenticate", REFERENCE, "digits")]
    assert len(office.enrolled) == 2
    assert len(office.devices) == 1


def test_it_is_asked_once_for_each_call(device, office):
    """R91: an office that is never content makes no circle."""
    office.until_enrolled = False
    app = App(USER_TOKEN, USER_TOKEN, USER_TOKEN)
    room = device.app(app.sign_in)
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert (caught.value.code, caught.value.reference) == (Code.STEP_UP, REFERENCE)
    assert (len(app.steps), len(office.enrolled)) == (1, 2)


def test_a_token_that_was_held_all_the_time_is_no_fresh_one(device, office):
    """R91: whoever stole a device with the token in its app's hands is not let on by it."""
    room = device.app(token=USER_TOKEN)
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.STEP_UP
    assert "strongroom enrol" in caught.value.next_step
    assert len(office.enrolled) == 1


def test_who_does_not_sign_in_gets_the_refusal(device, office):
    app = App(None)
    room = device.app(app.sign_in)
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.STEP_UP
    assert (len(app.steps), len(office.enrolled)) == (1, 1)


def test_enrolling_again_by_hand_is_the_same(device, office):
    """`strongroom enrol` on a device that is enrolled already, then `strongroom pull`."""
    room = device.app()
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(RefusedError):
        room.pull("digits")
    room.enrol(USER_TOKEN)
    assert room.pull("digits").fetched


def test_a_token_that_is_not_taken_is_said_to_be(device, office):
    app = App("another.user.token")
    room = device.app(app.sign_in)
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(DeniedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.TOKEN
    assert room.enrolled


def test_attestation_takes_the_token_that_is_held_or_asks(device, office):
    """The held token attests, as ever; without one the app is asked, and told what for."""
    needed = releases(Code.ATTESTATION_NEEDED)
    app = App(USER_TOKEN)
    held = device.app(app.sign_in, token=USER_TOKEN, attestor=Apps())
    office.refuses = needed
    assert held.pull("digits").fetched
    assert app.steps == []
    office.refuses = needed
    assert device.app(app.sign_in, attestor=Apps()).pull("letters").fetched
    assert app.steps == [StepUp("attest", REFERENCE, "letters")]
    office.refuses = needed
    with pytest.raises(RefusedError) as caught:  # nothing vouches for it: signing in would not help
        device.app(App(USER_TOKEN).sign_in).pull("digits")
    assert caught.value.code == Code.ATTESTATION_NEEDED


def test_people_sign_in_while_other_processes_go_on(device, office):
    """The directory is not locked meanwhile, and the function may use the room itself."""
    free = []

    def sign_in(wanted):
        with Folder.open(device.home) as home, locked(home, "pull.lock", 0):
            free.append(wanted.model)
        return USER_TOKEN

    room = device.app(sign_in)
    office.refuses = releases(Code.STEP_UP)
    room.pull("digits")
    assert free == ["digits"]


# functions that are wrong


@pytest.mark.parametrize("trouble", [ValueError("my-token-text"), OSError(), KeyError("x")])
def test_what_an_app_s_function_raises_becomes_ours(device, office, trouble):
    app = App(trouble=trouble)
    room = device.app(app.sign_in, app.hear)
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(InputError) as caught:
        room.pull("digits")
    assert (caught.value.code, caught.value.what) == (Code.ARGUMENT, f"on_step_up failed: {type(trouble).__name__}")
    assert "my-token-text" not in str(caught.value)
    assert caught.value.__cause__ is trouble
    office.refuses, office.words = (lambda path: None), ("slow-down",)
    with pytest.raises(InputError) as caught:
        room.pull("digits")
    assert caught.value.what == f"on_reaction failed: {type(trouble).__name__}"
    office.down = True
    with device.app().load("digits") as model:  # and nothing was lost by it
        assert model.version == "1.0"


def test_what_it_raises_of_ours_stays(device, office):
    ours = UnreachableError(Code.UNREACHABLE, "no one to sign in")
    room = device.app(App(trouble=ours).sign_in)
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(UnreachableError) as caught:
        room.pull("digits")
    assert caught.value is ours


@pytest.mark.parametrize("token", ["", "two words", "line\n", "é", 7, b"bytes", True, ["a"], "x" * 20_000])
def test_what_is_no_token_is_not_sent(device, office, token):
    room = device.app(App(token).sign_in)
    office.refuses = releases(Code.STEP_UP)
    with pytest.raises(InputError) as caught:
        room.pull("digits")
    assert caught.value.what == "on_step_up returned no access token"
    assert len(office.enrolled) == 1


@pytest.mark.parametrize("name", ["on_step_up", "on_reaction"])
def test_what_cannot_be_called_is_refused_at_once(tmp_path, name):
    with pytest.raises(InputError) as caught:
        client.connect(home=tmp_path, **{name: "sign in"})
    assert caught.value.what == f"{name} cannot be called"
    assert [*tmp_path.iterdir()] == []


# words


def test_words_reach_the_app_by_every_way(device, office):
    """R91: with a grant, a renewal, and the heartbeat of an opening; words that are new go on as they are."""
    app = App()
    room = device.app(on_reaction=app.hear)
    room.pull("digits")
    assert app.told == []
    office.words = ("short-lease", "slow-down")
    assert room.pull("digits").reactions == office.words
    office.words = ("sign-in-again",)
    assert room.renew("digits").reactions == office.words
    office.words = ("word-of-2030",)
    device.later(3 * DAY)
    with room.load("digits"):
        pass
    assert app.told == [
        Reaction(("short-lease", "slow-down"), "digits"),
        Reaction(("sign-in-again",), "digits"),
        Reaction(("word-of-2030",), "digits"),
    ]


# too many requests


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("7", 7), (" 30 ", 30), ("999999999", 86_400)),
        *((text, None) for text in ("-1", "1e3", "soon", "٣", "")),
    ],
)
def test_how_long_to_wait_is_said(device, office, header, seconds):
    """E19: nobody sleeps in the library; the app is told, and a header that is none is none."""
    room = device.app()
    office.headers = {"Retry-After": header}
    office.refuses = releases(Code.RATE_LIMITED)
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert (caught.value.code, caught.value.retry_after) == (Code.RATE_LIMITED, seconds)
    step = "wait, then try again" if seconds is None else f"wait {seconds} seconds, then try again"
    assert caught.value.next_step == step
    assert len(office.asked) == 1


def test_a_heartbeat_that_is_too_much_stops_no_opening(device, office):
    room = device.app()
    room.pull("digits")
    device.later(3 * DAY)
    office.refuses = lambda path: Code.RATE_LIMITED if path.startswith("/v1/leases") else None
    with room.load("digits") as model:
        assert model.version == "1.0"


@pytest.mark.parametrize(("code", "kept"), [(Code.STEP_UP, 1), (Code.RATE_LIMITED, 1), (Code.RESTRICTED, 0)], ids=str)
def test_a_refusal_in_the_middle_of_a_download(device, office, code, kept):
    """R91, R92: what came is gone on with when the office is content again, and destroyed when it has stopped us."""
    office.publish("big", "1.0", {"w": weights(3, 5 * 2**20)}, counter=1)
    room = device.app()
    office.link_reads = 3
    office.refuses = lambda path: code if path.endswith("/urls") else None
    with pytest.raises(RefusedError) as caught:
        room.pull("big")
    assert caught.value.code == code
    assert len(room.store.need().partials) == kept
    assert device.counts() == (0, kept, kept)
    office.refuses, office.link_reads = (lambda path: None), None
    assert room.pull("big").fetched
    assert office.asked[-1].signals.get("resumed", 0) == kept


# stopped


def stopped(path):
    """A device that was stopped is let in to hear orders and to report, and to nothing else."""
    return Code.RESTRICTED if path in {"/v1/releases", "/v1/devices"} else None


def test_a_stopped_device_wipes_within_the_call_that_is_refused(device, office):
    """R92: release refused, order heard, keys and files gone, receipt sent: all before `pull` raises."""
    room = device.app()
    room.pull("digits")
    room.pull("letters")
    office.order("digits", "1.0")
    office.order("letters", "1.0")
    office.refuses = stopped
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.WIPED
    assert caught.value.reference == REFERENCE  # what an appeal is about
    assert device.counts() == (0, 0, 0)
    assert {office.ordered[one.order_id].model for one in office.receipts} == {"digits", "letters"}
    assert office.pending == []
    for offline in ("auto", "only"):
        with pytest.raises(RefusedError), room.load("letters", offline=offline):
            pass


def test_a_stopped_device_without_orders_keeps_what_it_has(device, office):
    """Stopped is no wipe: what is here opens until its lease ends, and the refusal is the office's own."""
    room = device.app()
    room.pull("digits")
    office.refuses = stopped
    for wanted in ("digits", "letters"):
        with pytest.raises(RefusedError) as caught:
            room.pull(wanted)
        assert (caught.value.code, caught.value.reference) == (Code.RESTRICTED, REFERENCE)
    with room.load("digits") as model:
        assert model.version == "1.0"


@pytest.mark.parametrize("trouble", ["down", "everything", "forged"])
def test_orders_that_cannot_be_heard_change_no_refusal(device, office, trouble):
    room = device.app()
    room.pull("digits")
    office.order("digits", "1.0")
    office.refuses = stopped
    if trouble == "everything":
        office.refuses = lambda path: Code.RESTRICTED
    if trouble == "forged":
        office.bend_renewal = lambda given: dataclasses.replace(given, account=given.device)
    if trouble == "down":
        office.refuses = lambda path: stopped(path) if not path.startswith("/v1/leases") else _broken()
    with pytest.raises(RefusedError) as caught:
        room.pull("digits")
    assert caught.value.code == Code.RESTRICTED
    with room.load("digits", offline="only"):
        pass


def _broken():
    raise UnreachableError(Code.UNREACHABLE, "the connection broke")


def test_a_stopped_device_hears_its_order_at_the_next_heartbeat(device, office):
    """R92, R93: an app that only opens what it has; no call of its own is needed."""
    room = device.app()
    room.pull("digits")
    office.order("digits", "1.0")
    office.refuses = stopped
    device.later(3 * DAY)
    with pytest.raises(RefusedError) as caught, room.load("digits"):
        pass
    assert caught.value.code == Code.WIPED
    assert device.counts() == (0, 0, 0)


def test_a_stopped_device_is_not_asked_to_sign_in(device, office):
    app = App(USER_TOKEN)
    room = device.app(app.sign_in)
    office.refuses = stopped
    with pytest.raises(RefusedError):
        room.pull("digits")
    assert app.steps == []
