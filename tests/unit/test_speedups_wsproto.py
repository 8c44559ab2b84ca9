"""wsproto with the speedups in: what is replaced, when, how deep, and who is still asked."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Generator, Iterator
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("wsproto")

import wsproto
from wsproto import connection, events, extensions, frame_protocol
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import FrameDecoder, FrameProtocol, MessageDecoder, Opcode

from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes
from wsfast.speedups.wsproto import STOOD_FOR, TARGET

KEY = b"\x12\x34\x56\x78"
HELLO = frame_bytes(1, b"hello", masking_key=KEY)

#: Where something is replaced, by level.
OWNERS: dict[str, Any] = {
    "wsproto.frame_protocol:XorMaskerSimple": frame_protocol.XorMaskerSimple,
    "wsproto.frame_protocol:FrameDecoder": FrameDecoder,
    "wsproto.frame_protocol:MessageDecoder": MessageDecoder,
    "wsproto.frame_protocol:FrameProtocol": FrameProtocol,
    "wsproto.connection:Connection": Connection,
    "wsproto:WSConnection": wsproto.WSConnection,
    "wsproto.extensions:PerMessageDeflate": extensions.PerMessageDeflate,
}


def slots() -> list[Any]:
    return list(TARGET.parts[0].slots())


def held(where: str) -> Any:
    owner, _, name = where.rpartition(".")
    return vars(OWNERS[owner])[name]


@pytest.fixture
def fast() -> Iterator[None]:
    with speedups.installed("wsproto", level="frames", strict=True):
        yield


def heard(connection: Any, data: bytes) -> list[Any]:
    connection.receive_data(data)
    return [(type(each), vars(each)) for each in connection.events()]


# --- what is replaced --------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_exactly_the_slots_of_a_level_are_replaced_and_put_back(level: Any) -> None:
    before = {slot.where: held(slot.where) for slot in slots()}
    with speedups.installed("wsproto", level=level, strict=True):
        (report,) = speedups.status("wsproto")
        changed = {where for where, value in before.items() if held(where) is not value}
        assert report.level == level and report.state == "active"
        assert changed == set(report.slots)
        assert changed == {
            slot.where for slot in slots() if level == "frames" or slot.level == "kernels"
        }
    assert all(held(where) is value for where, value in before.items())


def test_a_replacement_looks_like_the_original(fast: None) -> None:
    for slot in slots():
        ours, original = held(slot.where), held(slot.where).__wrapped__
        assert ours.__name__ == original.__name__
        assert ours.__qualname__ == original.__qualname__
        assert ours.__module__ == original.__module__
        assert ours.__doc__ == original.__doc__
        assert ours.__wsfast__ is original


def test_classes_stay_what_they_were() -> None:
    before = {name: vars(frame_protocol)[name] for name in ("XorMaskerSimple", "Buffer", "Frame")}
    with speedups.installed("wsproto", strict=True):
        assert all(vars(frame_protocol)[name] is each for name, each in before.items())
        assert isinstance(pickle.loads(pickle.dumps(FrameDecoder(True))), FrameDecoder)


def test_it_is_installed_whether_imported_before_or_after() -> None:
    told = "print(sp.status('wsproto')[0].state, type(wsproto.WSConnection.events).__name__)"
    early = f"import wsfast.speedups as sp; sp.install('wsproto'); import wsproto; {told}"
    late = f"import wsproto, wsfast.speedups as sp; sp.install('wsproto'); {told}"
    inside = early.replace("import wsproto;", "import wsproto.frame_protocol, wsproto;")
    for program in (early, late, inside):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.split()[0] == "active", done.stdout + done.stderr
        assert done.stdout.split()[1] != "function"


def test_nothing_of_wsproto_is_imported_by_install() -> None:
    program = (
        "import sys, wsfast.speedups as sp; sp.install('wsproto');"
        "print([each for each in sys.modules if each.startswith('wsproto')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("where", sorted(STOOD_FOR))
def test_a_helper_with_another_source_leaves_level_kernels(where: str) -> None:
    module, _, path = where.partition(":")
    owner = sys.modules[module]
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)

    real = vars(owner)[name]

    def changed(self: Any, *arguments: Any) -> Any:
        return real(self, *arguments)

    with mock.patch.object(owner, name, changed):
        with speedups.installed("wsproto"):
            (report,) = speedups.status("wsproto")
            assert report.level == "kernels", report
            assert where in report.note


def test_the_workloads_run_and_name_what_they_do() -> None:
    works = TARGET.workloads()
    for work in works:
        assert work.run() is None or isinstance(work.run(), bytes)
    assert {each.size for each in works} >= {125, 65536}
    assert len({(each.name, each.size) for each in works}) == len(works)


# --- connections that live through it ----------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_connection_goes_on_when_the_speedups_come_and_go(cut: int, backwards: bool) -> None:
    text = "žluťoučký kůň " * 5
    stream = b"".join(
        [
            frame_bytes(1, text.encode()[:31], fin=False, masking_key=KEY),
            frame_bytes(9, b"are you there", masking_key=KEY),
            frame_bytes(0, text.encode()[31:], masking_key=KEY),
            frame_bytes(2, bytes(300), masking_key=KEY),
            HELLO,
        ]
    )
    pieces = [stream[start : start + cut] for start in range(0, len(stream), cut)]
    steady = Connection(ConnectionType.SERVER)
    expected = [heard(steady, piece) for piece in pieces]
    turning = Connection(ConnectionType.SERVER)
    got = []
    step = len(pieces) // 5 + 1
    for turn, start in enumerate(range(0, len(pieces), step)):
        ours = speedups.installed("wsproto", strict=True)
        with ours if turn % 2 == backwards else contextlib.nullcontext():
            got += [heard(turning, piece) for piece in pieces[start : start + step]]
    assert got == expected
    assert turning.state is steady.state


def test_a_connection_made_before_is_read_by_ours() -> None:
    old = Connection(ConnectionType.SERVER)
    old.receive_data(HELLO[:4])
    with speedups.installed("wsproto", strict=True):
        assert heard(old, HELLO[4:] + HELLO)[0][1]["data"] == "hello"
        assert type(old._proto._frame_decoder.buffer).__name__ == "StreamBuffer"
    assert heard(old, HELLO)[0][1]["data"] == "hello"


def test_a_connection_made_with_ours_is_read_by_the_originals() -> None:
    with speedups.installed("wsproto", strict=True):
        made = Connection(ConnectionType.SERVER)
        assert heard(made, HELLO + HELLO[:7])[0][1]["data"] == "hello"
    assert heard(made, HELLO[7:])[0][1]["data"] == "ello"
    with speedups.installed("wsproto", strict=True):
        assert heard(made, HELLO * 2)[1][1]["data"] == "hello"


# --- who is still asked ------------------------------------------------------------------------


def test_a_decoder_of_a_subclass_is_its_own(fast: None) -> None:
    class Counting(FrameDecoder):
        headers = 0

        def parse_header(self) -> bool:
            self.headers += 1
            found: bool = super().parse_header()
            return found

    server = Connection(ConnectionType.SERVER)
    server._proto._frame_decoder = Counting(False)
    assert [each[1]["data"] for each in heard(server, HELLO * 2)] == ["hello", "hello"]
    assert server._proto._frame_decoder.headers == 3


def test_a_protocol_of_a_subclass_is_its_own(fast: None) -> None:
    class Shouting(FrameProtocol):
        def send_data(self, payload: Any = b"", fin: bool = True) -> Any:
            return super().send_data(payload.upper(), fin)

        def _process_close(self, frame: Any) -> Any:
            return super()._process_close(frame)._replace(payload=(4000, "mine"))

    server = Connection(ConnectionType.SERVER)
    server._proto = Shouting(False, [])
    assert server.send(events.TextMessage(data="hi")) == b"\x81\x02HI"
    (close,) = heard(server, frame_bytes(8, b"\x03\xe8", masking_key=KEY))
    assert close[1] == {"code": 4000, "reason": "mine"}


def test_a_connection_of_a_subclass_is_its_own(fast: None) -> None:
    class Loud(Connection):
        @property
        def state(self) -> ConnectionState:
            return shown

    shown = ConnectionState.OPEN
    server = Loud(ConnectionType.SERVER)
    shown = ConnectionState.REMOTE_CLOSING
    assert heard(server, HELLO) == []
    shown = ConnectionState.CLOSED
    with pytest.raises(wsproto.utilities.LocalProtocolError, match="already closed"):
        server.receive_data(HELLO)


CALLS: dict[Any, list[str]] = {
    FrameDecoder: [
        "process_buffer",
        "parse_header",
        "parse_extended_payload_length",
        "extension_processing",
        "receive_bytes",
    ],
    MessageDecoder: ["process_frame"],
    FrameProtocol: ["receive_bytes", "received_frames", "send_data", "_serialize_frame"],
    frame_protocol.XorMaskerSimple: [],
}


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in CALLS.items() for name in names]
)
def test_a_mocked_method_is_called(fast: None, owner: Any, name: str) -> None:
    real = vars(owner)[name]
    called = []

    def mocked(self: Any, *arguments: Any) -> Any:
        called.append(arguments)
        return real(self, *arguments)

    server = Connection(ConnectionType.SERVER)
    with mock.patch.object(owner, name, mocked):
        assert heard(server, HELLO)[0][1]["data"] == "hello"
        assert server.send(events.BytesMessage(data=b"hi")) == b"\x82\x02hi"
    assert called


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("_proto", "receive_bytes"),
        ("_proto", "received_frames"),
        ("_proto", "send_data"),
        ("_proto", "_serialize_frame"),
        ("_proto._frame_decoder", "receive_bytes"),
        ("_proto._frame_decoder", "process_buffer"),
        ("_proto._message_decoder", "process_frame"),
        ("_proto._frame_decoder", "parse_header"),
        ("_proto._frame_decoder", "extension_processing"),
        ("_proto", "_make_fin_rsv_opcode"),
    ],
)
def test_a_method_mocked_on_one_object_is_called(fast: None, path: str, name: str) -> None:
    server = Connection(ConnectionType.SERVER)
    owner: Any = server
    for each in path.split("."):
        owner = getattr(owner, each)
    with mock.patch.object(owner, name, side_effect=getattr(owner, name)) as mocked:
        assert heard(server, HELLO)[0][1]["data"] == "hello"
        assert server.send(events.BytesMessage(data=b"hi")) == b"\x82\x02hi"
    assert mocked.called


@pytest.mark.parametrize("name", ["TextMessage", "BytesMessage", "Ping", "CloseConnection"])
def test_an_event_class_of_somebody_else_is_called(fast: None, name: str) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(b"".join(frame_bytes(n, b"", masking_key=KEY) for n in (1, 2, 9, 8)))
    with mock.patch.object(connection, name, lambda **fields: fields) as made:
        found = list(server.events())
    assert [type(each) for each in found].count(dict) == 1
    assert made(mine=1) == {"mine": 1}


def test_a_mocked_state_is_asked(fast: None) -> None:
    server = Connection(ConnectionType.SERVER)
    closed = mock.PropertyMock(return_value=ConnectionState.CLOSED)
    with mock.patch.object(Connection, "state", closed):
        with pytest.raises(wsproto.utilities.LocalProtocolError):
            server.receive_data(HELLO)
    assert heard(server, HELLO)[0][1]["data"] == "hello"


def test_a_masker_of_somebody_else_is_made(fast: None) -> None:
    server = Connection(ConnectionType.SERVER)
    masker = mock.Mock(side_effect=frame_protocol.XorMaskerSimple)
    with mock.patch.object(frame_protocol, "XorMaskerSimple", masker):
        assert heard(server, HELLO)[0][1]["data"] == "hello"
    masker.assert_called_once()


@pytest.mark.parametrize("where", ["os.urandom", "wsproto.frame_protocol.os"])
def test_masking_keys_come_from_where_the_library_asks(fast: None, where: str) -> None:
    client = Connection(ConnectionType.CLIENT)
    fixed = mock.Mock(return_value=KEY)
    with mock.patch(where, fixed if where == "os.urandom" else mock.Mock(urandom=fixed)):
        assert client.send(events.TextMessage(data="hello")) == HELLO
        assert client.send(events.Ping(payload=b"?")) == frame_bytes(9, b"?", masking_key=KEY)
    fixed.assert_called_with(4)
    assert client.send(events.TextMessage(data="hello"))[2:6] != KEY


def test_keys_differ_from_frame_to_frame(fast: None) -> None:
    client = Connection(ConnectionType.CLIENT)
    keys = {client.send(events.TextMessage(data="x"))[2:6] for _ in range(2000)}
    assert len(keys) > 1990


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_keys_of_its_own(fast: None) -> None:
    client = Connection(ConnectionType.CLIENT)
    client.send(events.TextMessage(data="x"))
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, client.send(events.TextMessage(data="x"))[2:6])
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 4) != client.send(events.TextMessage(data="x"))[2:6]
    os.close(reader)
    os.close(writer)


# --- what holds of the iterators ---------------------------------------------------------------


def test_events_are_a_generator_for_who_asks(fast: None) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(HELLO * 3)
    found: Any = server.events()
    assert isinstance(found, Generator)
    assert iter(found) is found
    assert found.send(None).data == "hello"
    found.close()
    assert list(found) == []
    assert next(iter(server.events())).data == "hello"


def test_a_deep_copy_of_a_decoder_reads_by_itself(fast: None) -> None:
    decoder = FrameDecoder(False)
    decoder.receive_bytes(HELLO + HELLO[:7])
    assert decoder.process_buffer().payload == b"hello"
    assert decoder.process_buffer().payload == b"h"
    other = copy.deepcopy(decoder)
    for each in (decoder, other):
        each.receive_bytes(HELLO[7:])
        assert each.process_buffer() == (Opcode.CONTINUATION, b"ello", True, True)


def test_whole_connections_speak_with_each_other(fast: None) -> None:
    client = wsproto.WSConnection(ConnectionType.CLIENT)
    server = wsproto.WSConnection(ConnectionType.SERVER)
    deflate = [extensions.PerMessageDeflate()]
    server.receive_data(client.send(events.Request(host="h", target="/", extensions=deflate)))
    assert isinstance(next(iter(server.events())), events.Request)
    accepted = events.AcceptConnection(extensions=[extensions.PerMessageDeflate()])
    client.receive_data(server.send(accepted) + b"\x81\x02hi")
    first, second = client.events()
    assert isinstance(first, events.AcceptConnection) and second.data == "hi"
    for message in ("x" * 70000, b"\x00" * 70000, "", "žluťoučký kůň", b"y"):
        made = events.TextMessage if isinstance(message, str) else events.BytesMessage
        server.receive_data(client.send(made(data=message)))
        (got,) = server.events()
        assert got == made(data=message)
    server.receive_data(client.send(events.CloseConnection(code=1000)))
    (close,) = server.events()
    client.receive_data(server.send(close.response()))
    assert [type(each) for each in client.events()] == [events.CloseConnection]
    assert client.state is server.state is connection.ConnectionState.CLOSED
