"""The three ways to a TPM, and what is said where there is none or it talks nonsense."""

import contextlib
import os
import socket
import threading
import tty

import pytest

from strongroom.edge.tpm.chip import Tpm
from strongroom.edge.tpm.transport import absolute, connect
from strongroom.errors import Code, SetupError, StoreError

GET_RANDOM = bytes.fromhex("8001 0000000c 0000017b 0008")


@contextlib.contextmanager
def answering(*answers):
    """Serve on a port of loopback; each connection gets the next answer and is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve():
            for answer in answers:
                line, _ = server.accept()
                with line:
                    line.recv(4096)
                    line.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{port}"
        thread.join(10)


@contextlib.contextmanager
def bridged(address):
    """Offer a swtpm behind a character device, as the kernel does: a terminal that changes no byte."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    line = connect(address)

    def carry():
        with contextlib.suppress(OSError):
            while command := os.read(ours, 4096):
                os.write(ours, line.exchange(command))

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    try:
        yield os.ttyname(theirs)
    finally:
        os.close(theirs)
        os.close(ours)
        line.close()


def refused(address, code, error=SetupError):
    with pytest.raises(error) as caught:
        connect(address)
    assert caught.value.code == code
    assert caught.value.where == address
    assert caught.value.next_step


def test_a_unix_socket(chip):
    line = connect(chip.address)
    answers = {line.exchange(GET_RANDOM) for _ in range(3)}
    line.close()
    assert {len(one) for one in answers} == {20}
    assert len(answers) == 3


def test_a_character_device(chip):
    with bridged(chip.address) as device, Tpm.open(device) as tpm:
        found = tpm.read_pcrs([0, 7])
    with Tpm.open(chip.address) as tpm:
        assert tpm.read_pcrs([0, 7]) == found


def test_a_port():
    whole = bytes.fromhex("8001 00000014 00000000 0008 0102030405060708")
    with answering(whole) as address:
        line = connect(address)
        assert line.exchange(GET_RANDOM) == whole
        line.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(bytes.fromhex("80010000"), id="cut in the header"),
        pytest.param(bytes.fromhex("8001 00000014 00000000 0008"), id="cut"),
        pytest.param(bytes.fromhex("8001 7fffffff 00000000"), id="claims two gigabytes"),
        pytest.param(bytes.fromhex("8001 00000009 00000000"), id="claims less than a header"),
    ],
)
def test_an_answer_that_is_none(answer):
    with answering(answer) as address:
        line = connect(address)
        with pytest.raises(StoreError) as caught:
            line.exchange(GET_RANDOM)
        line.close()
    assert caught.value.code == Code.STORE_IO
    assert caught.value.where == address


def test_a_device_that_says_nothing():
    line = connect("/dev/null")
    with pytest.raises(StoreError) as caught:
        line.exchange(GET_RANDOM)
    line.close()
    assert caught.value.code == Code.STORE_IO


def test_where_there_is_no_tpm(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = f"127.0.0.1:{server.getsockname()[1]}"
    (tmp_path / "file").touch()
    dead = str(tmp_path / "dead")
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(dead)
    for address in (str(tmp_path / "none"), str(tmp_path), str(tmp_path / "file"), dead, free, "localhost:99999", "x"):
        refused(address, Code.CONFIG)


def test_an_address_means_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("tpm.sock") == str(tmp_path / "tpm.sock")
    assert absolute("/dev/tpmrm0") == "/dev/tpmrm0"
    assert absolute("127.0.0.1:2321") == "127.0.0.1:2321"
    assert absolute("[::1]:2321") == "[::1]:2321"
