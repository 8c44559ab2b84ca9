"""The contract of receiver.pxd and connection.pxd for subclasses in C, by a probe in Cython."""

from __future__ import annotations

from pathlib import Path

import pytest

from wire import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    close_frame,
    feed,
    frame,
    frames_in,
    unmasked,
)
from wsfast.errors import LocalProtocolError
from wsfast.rfc6455 import Role

pytest.importorskip("Cython", reason="Cython is not installed")
pytest.importorskip("setuptools", reason="setuptools is not installed")

NO_KEY = bytes(4)


@pytest.fixture(scope="module")
def probe():
    from bench.cython_module import load

    return load(Path(__file__).parent / "probe.pyx")


def test_a_whole_message_comes_masked_with_its_key(probe):
    """And not judged: whether it is UTF-8 is found by who converts it."""
    stream = frame(TEXT, b"Hello", key=KEY) + frame(BINARY, b"x" * 126, key=KEY)
    stream += frame(TEXT, b"\xff", key=KEY)
    assert probe.Recorder(True).feed(stream) == [
        ("message", TEXT, unmasked(b"Hello", KEY), KEY),
        ("message", BINARY, unmasked(b"x" * 126, KEY), KEY),
        ("message", TEXT, unmasked(b"\xff", KEY), KEY),
    ]


def test_a_message_in_parts_comes_unmasked_without_a_key(probe):
    parts = frame(TEXT, b"Hel", fin=False, key=KEY) + frame(CONTINUATION, b"lo", key=KEY)
    assert probe.Recorder(True).feed(parts) == [("message", TEXT, b"Hello", NO_KEY)]
    whole = frame(TEXT, b"Hello", key=KEY)
    for cut in range(1, len(whole)):
        recorder = probe.Recorder(True)
        assert recorder.feed(whole[:cut]) == []
        assert recorder.feed(whole[cut:]) == [("message", TEXT, b"Hello", NO_KEY)]


def test_a_client_gets_no_key(probe):
    assert probe.Recorder(False).feed(frame(TEXT, b"Hello")) == [
        ("message", TEXT, b"Hello", NO_KEY)
    ]


def test_control_frames_come_unmasked(probe):
    stream = frame(PING, b"1", key=KEY) + frame(PONG, b"22", key=KEY)
    stream += close_frame(1000, b"bye", key=KEY)
    expected = [("control", PING, b"1"), ("control", PONG, b"22")]
    expected.append(("control", 8, b"\x03\xe8bye"))
    assert probe.Recorder(True).feed(stream) == expected
    recorder = probe.Recorder(True)
    assert [call for byte in stream for call in recorder.feed(bytes([byte]))] == expected


def test_after_fail_nothing_is_read(probe):
    recorder = probe.Recorder(True)
    assert recorder.feed(frame(11, key=KEY) + frame(TEXT, b"x", key=KEY)) == [("fail", 1002)]
    assert recorder.close_received
    assert recorder.feed(frame(TEXT, b"x", key=KEY)) == []


def test_the_limit_of_a_subclass(probe):
    recorder = probe.Recorder(True, 4)
    stream = frame(BINARY, b"1234", key=KEY) + frame(BINARY, b"12345", key=KEY)
    assert recorder.feed(stream)[1:] == [("fail", 1009)]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65, 200, 5000])
def test_message_from_makes_the_object(probe, size):
    ascii_text, text = "a" * size, "é😀"[: size % 3] + "x" * size
    for each in (ascii_text, text):
        data = each.encode()
        assert probe.message(TEXT, unmasked(data, KEY), KEY) == each
        assert probe.message(BINARY, unmasked(data, KEY), KEY) == data
        assert probe.message(TEXT, data, NO_KEY) == each
    assert probe.message(TEXT, b"a" * size + b"\xff", NO_KEY) is None
    assert probe.message(TEXT, b"\xc3" + b"a" * size, NO_KEY) is None


def test_handlers_in_c_are_called(probe):
    connection = probe.Strict(Role.SERVER)
    stream = frame(TEXT, b"Hello", key=KEY) + frame(PING, b"?", key=KEY)
    assert connection.receive(stream + close_frame(1001, b"bye", key=KEY)) == []
    assert connection.calls == ["Hello", ("ping", b"?"), ("close", 1001, "bye")]
    assert connection.receive_eof() == []
    assert len(connection.calls) == 3


@pytest.mark.parametrize("step", [0, 1])
def test_what_a_handler_raises_comes_out_and_ends_reading(probe, step):
    """The rest of that read is lost, so nothing more is read: no frame is ever torn."""
    connection = probe.Strict(Role.SERVER)
    connection.to_raise = ZeroDivisionError("of the handler")
    stream = frame(TEXT, b"one", key=KEY) + frame(TEXT, b"two", key=KEY)
    with pytest.raises(ZeroDivisionError):
        feed(connection, stream, step)
    connection.to_raise = None
    assert connection.receive(frame(TEXT, b"three", key=KEY)) == []
    assert connection.calls == []
    connection.send_close(1011)
    assert frames_in(connection.data_to_send()) == [(8, True, 0, b"\x03\xf3")]


def test_send_payload_is_a_whole_frame(probe):
    connection = probe.Strict(Role.SERVER)
    connection.send_raw(TEXT, b"Hello")
    connection.send_raw(BINARY, b"x" * 70_000)
    assert connection.data_to_send() == frame(TEXT, b"Hello") + frame(BINARY, b"x" * 70_000)
    connection.send_close()
    with pytest.raises(LocalProtocolError):
        connection.send_raw(TEXT, b"late")


def test_fail_from_outside_closes_once(probe):
    connection = probe.Strict(Role.SERVER)
    connection.fail_with(1011, "a handler raised")
    connection.fail_with(1002, "again")
    assert connection.calls == [("close", 1011, "a handler raised")]
    assert connection.failed
    assert connection.data_to_send() == close_frame(1011, b"a handler raised")
