"""Lines of JSON that are always JSON, and an access log that no peer can forge."""

from __future__ import annotations

import datetime
import io
import json
import logging
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockets import SECONDS, Net, Recorder, goodbye, network, request_head
from wire import close_frame
from wsfast.limits import Limits
from wsfast.logs import AccessLog, JsonFormatter, configure, escape
from wsfast.server import Server


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def written(message: str = "said", *args: object, extra: Any = None, **options: Any) -> Any:
    """The fields of one record, as a reader of the line gets them."""
    logger = logging.Logger("wsfast.test")
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    logger.warning(message, *args, extra=extra, **options)
    [line] = lines.getvalue().splitlines()
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


# --- JSON ----------------------------------------------------------------------------------------


def test_a_plain_record() -> None:
    fields = written("%d open", 3)
    moment = datetime.datetime.fromisoformat(fields.pop("time").replace("Z", "+00:00"))
    age = datetime.datetime.now(datetime.timezone.utc) - moment
    assert abs(age.total_seconds()) < 60
    assert isinstance(fields.pop("process"), int)
    assert fields == {"level": "warning", "logger": "wsfast.test", "message": "3 open"}


def test_extra_fields_are_kept_beside_ours() -> None:
    fields = written(extra={"room": "a", "count": 2, "level": 9, "tags": ["x"], "none": None})
    assert (fields["room"], fields["count"], fields["tags"], fields["none"]) == (
        "a",
        2,
        ["x"],
        None,
    )
    assert fields["level"] == "warning" and fields["level_"] == 9


def test_an_exception_is_the_text_of_its_traceback_in_one_line() -> None:
    try:
        raise KeyError("here\nand there")
    except KeyError:
        fields = written(exc_info=True, stack_info=True)
    assert "Traceback" in fields["exception"] and "KeyError" in fields["exception"]
    assert "test_logs.py" in fields["stack"]
    assert "exception" not in written(exc_info=(None, None, None))


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\xff", "b'\\xff'"),
        ({1}, "{1}"),
        ({"in": {2}}, {"in": "{2}"}),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (circle(), "[[...]]"),
        (Unprintable(), "<Unprintable without a repr>"),
        ("\ud800\n", "\ud800\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_does_not_have_stands_as_its_repr(value: object, shown: object) -> None:
    fields = written(extra={"value": value, "other": 1})
    assert fields["value"] == shown and fields["other"] == 1


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = before[0]
    logger.setLevel(before[1])


@pytest.mark.parametrize("as_json", [False, True])
def test_configure_writes_everything_from_a_level_on(root: logging.Logger, as_json: bool) -> None:
    lines = io.StringIO()
    configure("info", as_json=as_json, stream=lines)
    logging.getLogger("any").info("said")
    logging.getLogger("any").debug("not said")
    [line] = lines.getvalue().splitlines()
    assert json.loads(line)["message"] == "said" if as_json else line.endswith("INFO any: said")
    handler = configure("error")
    assert root.handlers == [handler] and handler.stream is sys.stderr


def test_a_level_that_is_none_is_named(root: logging.Logger) -> None:
    with pytest.raises(ValueError, match="level is 'loud', not one of debug"):
        configure("loud")


# --- the access log ------------------------------------------------------------------------------


class Records(logging.Handler):
    """Keeps the records of a logger."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)

    @property
    def lines(self) -> list[str]:
        return [each.getMessage() for each in self.kept]


def without_seconds(line: str) -> str:
    """A line of the access log with <s> for the time that it took."""
    return re.sub(r" \d+\.\d{6}(?= |$)", " <s>", line)


@pytest.fixture
def access() -> Iterator[Records]:
    logger, records = logging.getLogger("wsfast.access"), Records()
    logger.addHandler(records)
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(records)
    logger.setLevel(logging.NOTSET)


def test_one_record_for_a_handshake_and_one_for_its_close(net: Net, access: Records) -> None:
    server = net.server(Recorder(), tracers=[AccessLog()], subprotocols=["chat"])
    peer = net.peer(server)
    port = peer.socket.getsockname()[1]
    peer.send(request_head("Sec-WebSocket-Protocol: chat", target="/room?token=secret"))
    peer.take_head()
    peer.send(close_frame(4001, b"so long", key=bytes(4)))
    net.until(lambda: peer.ended)
    opened, closed = access.kept
    about = f'127.0.0.1:{port} "GET /room"'
    assert without_seconds(opened.getMessage()) == f"{about} 101 chat <s>"
    assert without_seconds(closed.getMessage()) == (
        f'{about} closed 4001 "so long" <s> by client received 0/15 sent 0/4'
    )
    begun, fields = vars(opened), vars(closed)
    assert (begun["event"], begun["client"], begun["status"]) == (
        *("handshake", f"127.0.0.1:{port}", 101),
    )
    expected = {
        "event": "close",
        "client": f"127.0.0.1:{port}",
        "method": "GET",
        "path": "/room",
        "close_code": 4001,
        "close_reason": "so long",
        "closed_by": "client",
        "messages_received": 0,
        "messages_sent": 0,
        "bytes_received": 15,
        "bytes_sent": 4,
    }
    assert {name: fields[name] for name in expected} == expected
    assert 0 < fields["seconds"] < SECONDS
    assert "secret" not in f"{begun} {fields}", "a query may hold a token"


def test_the_client_is_whom_a_trusted_proxy_names(net: Net, access: Records) -> None:
    server = net.server(Recorder(), tracers=[AccessLog()], trusted_proxies=["127.0.0.1"])
    peer = net.peer(server).upgrade("X-Forwarded-For: 2001:db8::5")
    peer.send(goodbye())
    net.until(lambda: peer.ended)
    refused = net.peer(server)
    refused.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 2001:db8::5\r\n\r\n")
    net.until(lambda: refused.ended)
    assert [line.split(" ")[0] for line in access.lines] == ["[2001:db8::5]:0"] * 3


def test_a_refused_and_a_broken_one(net: Net, access: Records) -> None:
    log = AccessLog()
    server = net.server(Recorder(), tracers=[log], opening_seconds=0.1)
    for data in (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET", b""):
        peer = net.peer(server)
        peer.send(data)
        net.until(lambda peer=peer: peer.ended)
        peer.close()
    net.until(lambda: not server.connections)
    refused, broken = access.lines
    assert '"GET /x" 426 - <s>' in without_seconds(refused)
    assert broken.startswith("127.0.0.1:") and 'failed "the opening handshake took' in broken
    assert not log._begun and not log._open, "nothing is kept of those that are gone"


def test_nothing_is_kept_if_another_tracer_raises(net: Net, access: Records) -> None:
    class Bad:
        def on_handshake_end(self, *details: object) -> None:
            raise KeyError("tracer")

    log = AccessLog()
    for tracers in ([log, Bad()], [Bad(), log]):
        server = net.server(Recorder(), tracers=tracers)
        for data in (request_head(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
            peer = net.peer(server)
            peer.send(data)
            net.until(lambda peer=peer: peer.ended)
            peer.close()
        net.until(lambda server=server: not server.connections)
        assert not log._begun and not log._open


def test_methods_of_whoever_asks_are_not_kept_for_ever(net: Net, access: Records) -> None:
    """Some Pythons never let go of an interned string."""
    server = net.server(Recorder(), tracers=[AccessLog()])
    method = f"X{id(net)}Y"
    peer = net.peer(server)
    peer.send(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    net.until(lambda: peer.ended)
    assert vars(access.kept[0])["method"] == method
    fresh = "".join(["X", str(id(net)), "Y"])
    assert sys.intern(fresh) is fresh, "nobody else has interned it"


def test_whom_a_drain_refuses(net: Net, access: Records) -> None:
    log = AccessLog()
    server = net.server(Recorder(), tracers=[log])
    peers = [net.peer(server), net.peer(server)]
    peers[0].send(b"GET /half HTTP/1.1\r\n")
    net.until(lambda: log._begun)
    server.drain()
    net.until(lambda: not server.connections)
    [line] = access.lines
    assert '"GET /half" 503 - ' in line and not log._begun


@pytest.mark.parametrize(
    "target",
    [b"/\x1b[2J", b'/"_101_"', b"/\xe2\x80\xa8", b"/\x85", b"/\\", b"/" + b"a" * 5000, b"/\r/"],
)
def test_what_a_peer_sends_cannot_forge_a_line(net: Net, access: Records, target: bytes) -> None:
    peer = net.peer(net.server(Recorder(), tracers=[AccessLog()]))
    peer.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    net.until(lambda: access.kept)
    [line] = access.lines
    assert line.isprintable() and len(line.splitlines()) == 1 and len(line) < 1200
    assert line.replace("\\\\", "").replace('\\"', "").count('"') == 2


def test_a_close_reason_cannot_either(net: Net, access: Records) -> None:
    peer = net.peer(net.server(Recorder(), tracers=[AccessLog()])).upgrade()
    peer.send(close_frame(1000, b'x" 0.1\n127.0.0.1 "GET /', key=bytes(4)))
    net.until(lambda: peer.ended)
    shown = without_seconds(access.lines[1])
    assert 'closed 1000 "x\\" 0.1\\n127.0.0.1 \\"GET /" <s> by client' in shown


def test_it_is_off_unless_somebody_listens(net: Net, access: Records) -> None:
    net.peer(net.server(Recorder())).upgrade()
    logging.getLogger("wsfast.access").setLevel(logging.WARNING)
    net.peer(net.server(Recorder(), tracers=[AccessLog()])).upgrade().send(goodbye())
    net.settle()
    assert not access.kept


def test_a_unix_socket_has_no_address(net: Net, access: Records, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = Server(
        Recorder(),
        unix=path,
        loop=net.loop,
        tracers=[AccessLog()],
        limits=Limits(closing_seconds=0.1),
    )
    net.servers.append(server)
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(path)
    net.adopt(connected).upgrade()
    assert access.lines[0].startswith('- "GET /" 101 ')


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain ä", "plain ä"),
        ("a\nb\x00", "a\\nb\\x00"),
        ('"\\', '\\"\\\\'),
        ("\u2028\x7f", "\\u2028\\x7f"),
        ("x" * 1025, "x" * 1024 + "..."),
    ],
)
def test_escape(given: str, shown: str) -> None:
    assert escape(given) == shown
