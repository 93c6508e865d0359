"""A device in a process of its own: an app that opens a model, renews its lease, and tells what happens to it.

Reads one JSON command a line from standard input and answers with one JSON line. Run by test_watch.py.
"""

import json
import sys

import strongroom
from strongroom.edge.exchange import Token
from strongroom.edge.opening import device_key
from strongroom.errors import StrongroomError
from strongroom.wire.messages import UrlsRequest


def main() -> None:
    room = strongroom.connect()
    told: list[str] = []
    for text in sys.stdin:
        command = json.loads(text)
        try:
            answer = {"done": act(room, told, **command)}
        except StrongroomError as error:
            answer = {"error": str(error.code), "what": error.what}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def act(room, told, *, verb, model="digits", path=""):
    if verb == "pull":
        return room.pull(model).version
    if verb == "open":
        with room.load(model, offline="only") as opened:
            return sum(opened.file(path).nbytes for path in opened.files)
    if verb == "renew":
        return room.renew(model).version
    if verb == "post":  # what somebody does who found a path in the app and tries it with the device's own token
        line = room._line(device_key(room.store))
        body = UrlsRequest(bytes(32), "e30.e30.e30").to_bytes()
        line.post(path, body, Token("DPoP", room.identity.token), limit=65_536)
        return "answered"
    raise ValueError(verb)


if __name__ == "__main__":
    main()
