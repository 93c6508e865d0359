"""The receiver of docs/how-to/webhook.md takes what a real delivery sends, once, and nothing else."""

import asyncio
import re
import threading
import time
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from protocol_client import run
from strongroom.errors import UnreachableError
from strongroom.server.alerts.alert import Alert, new_alert
from strongroom.server.alerts.delivery import Delivery
from strongroom.server.alerts.webhook import Webhook, tls_context
from webhook_receivers import AUTHORITY, SECRET, tls

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "webhook.md"


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """The page's block behind TLS: its names, and where it listens."""
    block = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[1]
    assert len(block.splitlines()) <= 20, "short enough to be read at night"
    names = {}
    exec(compile(block, "webhook.md", "exec"), names)  # noqa: S102 - our own page
    with make_server("127.0.0.1", 0, names["app"], handler_class=Quiet) as server:
        server.socket = tls(tmp_path).wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield names, f"https://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_receiver_of_the_page_takes_a_real_alert_once(served, capsys):
    names, url = served

    async def story(bench):
        bench.clock.now = int(time.time())  # the receiver has a clock of its own
        async with bench.office.ledger.begin() as tx:
            row = new_alert(bench.office, Alert.DECOY_HIT, bench.clock(), about=("dcy_1", "dev_1"), explain="dev_1")
            await tx.add_alert(row)
        hook = Webhook(url, (bytes(32), SECRET), tls_context(AUTHORITY))
        going = Delivery(bench.office, hook)
        await going.look()
        await going.drain()
        async with bench.office.ledger.begin() as tx:
            (sent,) = await tx.alerts()
        assert sent.sent == bench.clock()
        await hook.send(row.id, row.body.encode(), now=bench.clock())  # once more: taken, not told
        return row

    row = run(story)
    assert names["SEEN"] == {row.id}
    assert capsys.readouterr().out.count("wake somebody: decoy.hit\n") == 1


@pytest.mark.parametrize("lie", ["secret", "body", "time"])
def test_the_receiver_of_the_page_refuses_what_is_not_ours(served, lie):
    names, url = served
    kind = Bent if lie == "body" else Webhook
    hook = kind(url, (bytes(32) if lie == "secret" else SECRET,), tls_context(AUTHORITY))
    at = int(time.time()) - (301 if lie == "time" else 0)
    with pytest.raises(UnreachableError, match="401"):
        asyncio.run(hook.send("alr_1", b'{"type":"alert.test"}', now=at))
    assert names["SEEN"] == set()


class Bent(Webhook):
    """Changes a byte of the body between signing and sending."""

    async def _exchange(self, request):
        return await super()._exchange(request.replace(b"alert.test", b"alert.tesT"))
