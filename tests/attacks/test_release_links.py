"""B14, B15, B16: signed links: too late, in other hands, altered."""

import httpx
import pytest

from protocol_client import DEVICES, Bench, HandDevice, open_model, problem, run
from strongroom import sealed
from strongroom.errors import Code, IntegrityError
from strongroom.wire.messages import Grant


async def granted(bench: Bench) -> tuple[sealed.ModelKey, Grant, HandDevice]:
    """A device of ada with a grant and its key."""
    bench.made = await bench.publish()
    device = await bench.device("ada", "digits")
    grant, (key,) = await device.release()
    return key, grant, device


async def get(bench: Bench, url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask for an object as anybody may, without credentials."""
    return await bench.devices.request(method, url, headers=headers)


@pytest.mark.parametrize(("seconds", "status"), [(0, 200), (299, 200), (300, 403), (301, 403)])
def test_a_link_lives_five_minutes(seconds: int, status: int) -> None:
    """B14: at 4 min 59 s it serves; from five minutes on it does not, and says which of the two it was."""

    async def story(bench: Bench) -> None:
        _, grant, _ = await granted(bench)
        bench.clock.advance(seconds)
        answer = await get(bench, grant.files[0].url)
        assert answer.status_code == status
        if status != 200:
            assert problem(answer)["code"] == Code.URL_EXPIRED

    run(story)


def test_a_link_in_other_hands_gives_ciphertext() -> None:
    """B15: whoever is given a link within its time gets the bytes; without the key they are nothing to him.

    The office does not prevent it, and its audit log does not show it: links carry no credentials, and nothing is
    written down when an object is read.
    """

    async def story(bench: Bench) -> None:
        key, grant, _ = await granted(bench)
        eve = await bench.device("eve")
        before = len(await bench.events("release.granted"))
        taken = await get(bench, grant.files[0].url)
        assert (taken.status_code, taken.content) == (200, bench.made.data)
        with pytest.raises(IntegrityError) as caught:
            open_model(taken.content, sealed.ModelKey.generate(), bench, bench.made)
        assert caught.value.code == Code.FILE_WRONG_KEY
        assert problem(await eve.try_release())["code"] == "not-found"
        assert problem(await eve.try_urls(grant.release_id))["code"] == "not-found"
        assert len(await bench.events("release.granted")) == before
        assert open_model(taken.content, key, bench, bench.made)  # which is all that stands between

    run(story)


def test_an_altered_link_is_refused() -> None:
    """B16: another object, a later end, another verb, each sign of it changed: 403 or 405, and no byte."""

    async def story(bench: Bench) -> None:
        _, grant, _ = await granted(bench)
        other = await bench.publish(model="letters")
        url = grant.files[0].url
        name = url.removeprefix(f"{DEVICES}/o/").partition("?")[0]
        (elsewhere,) = [one for one in bench.store.objects if one != name]
        assert other.data == bench.store.objects[elsewhere]
        changed = [url.replace(name, elsewhere), url + "&e=9999999999", url.partition("?")[0]]
        changed += [url.replace(f"e={bench.clock() + 300}", f"e={bench.clock() + later}") for later in (301, 10**6)]
        changed += [url.replace("m=GET", "m=PUT"), url.replace("m=GET", "m=HEAD")]
        changed += [
            url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :] for at in range(url.index("?"), len(url))
        ]
        for one in changed:
            assert one != url
            answer = await get(bench, one)
            assert answer.status_code in {403, 404}, one
        for method in ("PUT", "DELETE", "POST", "PATCH"):
            answer = await get(bench, url, method)
            assert answer.status_code in {403, 405}, method
            assert bench.store.objects[name] == bench.made.data
        beyond = await get(bench, url, Range=f"bytes={len(bench.made.data)}-")
        assert (beyond.status_code, problem(beyond)["code"]) == (416, "range")

    run(story)
