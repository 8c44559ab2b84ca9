"""gevent-websocket with the speedups in: what is replaced, when, how deep, and over a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("geventwebsocket")

import geventwebsocket.utf8validator
from geventwebsocket import websocket
from geventwebsocket.websocket import Header, WebSocket

from reference import mask
from sockets import SANITIZED
from wsfast import speedups
from wsfast.speedups.gevent_websocket import STOOD_FOR, TARGET
from wsfast.speedups.guard import find, fingerprint
from wsfast.speedups.validator import Utf8Validator

KERNELS: list[tuple[Any, str]] = [
    (Header, "mask_payload"),
    (Header, "unmask_payload"),
    (websocket, "Utf8Validator"),
    (geventwebsocket.utf8validator, "Utf8Validator"),
]
FRAMES: list[tuple[Any, str]] = [
    (Header, "decode_header"),
    (WebSocket, "read_frame"),
    (WebSocket, "read_message"),
]


def held(places: list[tuple[Any, str]]) -> list[Any]:
    return [vars(owner)[name] for owner, name in places]


def in_another_process(code: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(params=["kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    with speedups.installed("gevent-websocket", level=request.param, strict=True):
        yield request.param


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    kernels, frames = held(KERNELS), held(FRAMES)
    with speedups.installed("gevent-websocket", level=level, strict=True):
        (report,) = speedups.status("gevent-websocket")
        assert (report.state, report.level) == ("active", level)
        assert all(a is not b for a, b in zip(kernels, held(KERNELS), strict=True))
        replaced = [a is not b for a, b in zip(frames, held(FRAMES), strict=True)]
        assert replaced == [level == "frames"] * 3
    assert held(KERNELS) == kernels and held(FRAMES) == frames


def test_masks_and_validators_are_ours(level: str) -> None:
    header = Header(length=5)
    header.mask = b"1234"
    for masked in (header.mask_payload(b"bytes"), header.unmask_payload(bytearray(b"bytes"))):
        assert type(masked) is bytearray and masked == mask(b"bytes", b"1234")
    with pytest.raises(IndexError):
        header.mask_payload(b"four")
    for module in (websocket, geventwebsocket.utf8validator):
        assert module.Utf8Validator is Utf8Validator


def test_a_class_method_stays_one() -> None:
    with speedups.installed("gevent-websocket", strict=True):
        assert type(vars(Header)["decode_header"]) is classmethod
        assert Header.decode_header.__doc__ == Header.decode_header.__wrapped__.__doc__


SHOW = """
from geventwebsocket import websocket
print(speedups.status("gevent-websocket")[0].state, websocket.Utf8Validator.__module__)
"""


@pytest.mark.parametrize("first", ["speedups.install()", "import geventwebsocket"])
def test_before_and_after_the_import(first: str) -> None:
    code = f"from wsfast import speedups\n{first}\nimport geventwebsocket\n"
    code += "speedups.install('gevent-websocket', strict=True)\n" + SHOW
    assert in_another_process(code) == ["active", "wsfast.speedups.validator"]


def test_without_wsaccel() -> None:
    """Whose validator the library takes where it is installed: ours replaces either."""
    code = "import sys\nsys.modules['wsaccel'] = None\nfrom wsfast import speedups\n"
    code += "import geventwebsocket.websocket as w\nprint(w.Utf8Validator.__module__)\n"
    code += "speedups.install('gevent-websocket', strict=True)\n" + SHOW
    before, *after = in_another_process(code)
    assert before == "geventwebsocket.utf8validator"
    assert after == ["active", "wsfast.speedups.validator"]


def test_the_sources_that_read_message_stands_for_are_known() -> None:
    for where, known in STOOD_FOR.items():
        assert fingerprint(find(where)[2]) == known


@pytest.mark.parametrize("name", ["validate_utf8", "_decode_bytes"])
def test_another_source_steps_back_to_kernels(name: str) -> None:
    def changed(self: Any, payload: bytes) -> None:
        """Another version."""

    with mock.patch.object(WebSocket, name, changed):
        with speedups.installed("gevent-websocket"):
            (report,) = speedups.status("gevent-websocket")
            assert (report.state, report.level) == ("active", "kernels")
            assert name in report.note


def test_versions() -> None:
    assert TARGET.tested == ("0.10", "0.11")


# --- over a server -----------------------------------------------------------------------------

SERVER = """
from gevent import monkey; monkey.patch_all()
import socket, sys
from wsfast import speedups
if sys.argv[1]:
    speedups.install("gevent-websocket", level=sys.argv[1], strict=True)
from geventwebsocket import WebSocketServer, WebSocketApplication, Resource
from wsfast.speedups.selftest import frame_bytes

class Echo(WebSocketApplication):
    def on_message(self, message):
        if message is not None:
            self.ws.send(message)

server = WebSocketServer(("127.0.0.1", 0), Resource([("/", Echo)]))
server.start()
sock = socket.create_connection(("127.0.0.1", server.server_port))
sock.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
             b"Sec-WebSocket-Version: 13\\r\\n"
             b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\\r\\n\\r\\n")
stream = sock.makefile("rb")
while stream.readline().strip():
    pass
text, data = "žluť 漢字".encode() * 2000, bytes(range(256)) * 300
sock.sendall(frame_bytes(1, text, masking_key=b"four"))
sock.sendall(frame_bytes(2, data[:1000], fin=False, masking_key=b"four"))
sock.sendall(frame_bytes(9, b"?", masking_key=b"four"))
sock.sendall(frame_bytes(0, data[1000:], masking_key=b"four"))
for expected in (frame_bytes(1, text), frame_bytes(10, b"?"), frame_bytes(2, data)):
    print(stream.read(len(expected)) == expected)
sock.sendall(frame_bytes(1, b"\\xff", masking_key=b"four"))
print(stream.read(2)[0] & 15)
sock.close()
server.stop()
print(speedups.status("gevent-websocket")[0].state)
"""


@pytest.mark.skipif(SANITIZED, reason="greenlet copies stacks: to ASan reads below the stack")
@pytest.mark.parametrize("level", ["", "kernels", "frames"])
def test_echo_over_a_server(level: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SERVER, level]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    state = "active" if level else "inactive"
    assert done.stdout.split() == ["True", "True", "True", "8", state]
