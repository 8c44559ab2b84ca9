"""eventlet with the speedups in: what is replaced, when, how deep, and over a server."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("eventlet")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that it is deprecated
    from eventlet import websocket
    from eventlet.websocket import RFC6455WebSocket

from reference import mask
from wsfast import speedups
from wsfast.speedups import validator
from wsfast.speedups.eventlet import TARGET

SLOTS: list[tuple[Any, str]] = [
    (RFC6455WebSocket, "_apply_mask"),
    (RFC6455WebSocket, "_pack_message"),
    (websocket, "utf8validator"),
]
HAS_WSACCEL = websocket.utf8validator is not None


def held() -> list[Any]:
    return [vars(owner)[name] for owner, name in SLOTS]


def in_another_process(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(params=["", "kernels", "frames"])
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    if not request.param:
        yield ""
        return
    with speedups.installed("eventlet", level=request.param, strict=True):
        yield request.param


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    before = held()
    with speedups.installed("eventlet", level=level, strict=True):
        (report,) = speedups.status("eventlet")
        assert (report.state, report.level) == ("active", level)
        replaced = [a is not b for a, b in zip(before, held(), strict=True)]
        assert replaced == [True, level == "frames", HAS_WSACCEL]
    assert held() == before


@pytest.mark.parametrize("kind", [list, tuple])
def test_masks(level: str, kind: Any) -> None:
    key = b"1234"
    masked = RFC6455WebSocket._apply_mask(b"bytes", kind(key), length=5, offset=0)
    assert type(masked) is bytes and masked == mask(b"bytes", key)
    assert RFC6455WebSocket._apply_mask(b"bytes", kind(key), 3, 2) == mask(b"byt", key, 2)
    with pytest.raises(IndexError):
        RFC6455WebSocket._apply_mask(b"bytes", kind(key), 6)


def test_a_static_method_stays_one() -> None:
    with speedups.installed("eventlet", strict=True):
        assert type(vars(RFC6455WebSocket)["_apply_mask"]) is staticmethod


SHOW = """
from eventlet import websocket
print(speedups.status("eventlet")[0].state, getattr(websocket.utf8validator, "__name__", "none"))
"""


@pytest.mark.parametrize("first", ["speedups.install()", "import eventlet.websocket"])
def test_before_and_after_the_import(first: str) -> None:
    code = f"from wsfast import speedups\n{first}\nimport eventlet.websocket\n"
    code += "speedups.install('eventlet', strict=True)\n" + SHOW
    expected = "wsfast.speedups.validator" if HAS_WSACCEL else "none"
    assert in_another_process(code) == ["active", expected]


def test_without_wsaccel_there_is_no_validator() -> None:
    """And none is brought in: eventlet then asks a codec, which says other things."""
    code = "import sys\nsys.modules['wsaccel'] = None\nfrom wsfast import speedups\n"
    code += "speedups.install('eventlet', strict=True)\n" + SHOW
    assert in_another_process(code) == ["active", "none"]


def test_a_validator_of_wsaccel_gives_way_to_ours() -> None:
    theirs = pytest.importorskip("wsaccel.utf8validator")
    with mock.patch.object(websocket, "utf8validator", theirs):
        with speedups.installed("eventlet", strict=True):
            assert websocket.utf8validator is validator
            decoder = RFC6455WebSocket.UTF8Decoder()
            assert type(decoder.validator) is validator.Utf8Validator
            assert decoder.decode("ž".encode(), True) == "ž"
            with pytest.raises(ValueError, match="not valid unicode"):
                decoder.decode(b"\xff")
        assert websocket.utf8validator is theirs


def test_another_generator_steps_back_to_kernels() -> None:
    with mock.patch.object(websocket, "Random"):
        with speedups.installed("eventlet"):
            (report,) = speedups.status("eventlet")
            assert (report.state, report.level) == ("active", "kernels")
            assert "Random is replaced" in report.note


def test_versions() -> None:
    assert TARGET.tested == ("0.33.3", "0.42")


# --- over a server -----------------------------------------------------------------------------

SERVER = """
import sys
from wsfast import speedups
if sys.argv[1]:
    speedups.install("eventlet", level=sys.argv[1], strict=True)
import eventlet
from eventlet import websocket, wsgi
from wsfast.speedups.selftest import frame_bytes

@websocket.WebSocketWSGI
def echo(ws):
    while (message := ws.wait()) is not None:
        ws.send(message)

listener = eventlet.listen(("127.0.0.1", 0))
eventlet.spawn(wsgi.server, listener, echo, log_output=False)
sock = eventlet.connect(listener.getsockname())
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
sock.sendall(frame_bytes(8, b"\\x03\\xe8", masking_key=b"four"))
print(stream.read(2)[0] & 15)
print(speedups.status("eventlet")[0].state)
"""


@pytest.mark.parametrize("level", ["", "kernels", "frames"])
def test_echo_over_a_server(level: str) -> None:
    told = in_another_process(SERVER, level)
    assert told == ["True", "True", "True", "8", "active" if level else "inactive"]
