"""What is called while something is sent may itself send, close or raise: keys, on_drain ..."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sockets import MORE_THAN_THE_KERNEL_TAKES, Net, Peer, Recorder, network
from wire import BINARY, CLOSE, TEXT
from wsfast.endpoint import Endpoint
from wsfast.errors import LocalProtocolError
from wsfast.rfc6455 import State

SMALL: dict[str, Any] = {
    "high_water_bytes": 4096,
    "low_water_bytes": 1024,
    "max_queue_bytes": 8192,
}


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def blocked(net: Net, handler: Recorder, **options: Any) -> tuple[Peer, Endpoint]:
    """A connection whose peer does not read, with more sent to it than fits."""
    peer, ws = net.open(handler, **options)
    peer.reading = False
    peer.update()
    ws.send(MORE_THAN_THE_KERNEL_TAKES)
    net.settle()
    assert ws.buffered_bytes
    return peer, ws


# --- on_drain ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["wait", "close", "drop-oldest", "newest-per-key"])
def test_who_sends_on_in_on_drain_does_not_recurse(net: Net, policy: str) -> None:
    """Though the kernel takes everything at once, since what waits is more than may."""
    depths: list[int] = []
    left, depth = 400, 0

    def send_some(ws: Endpoint) -> None:
        nonlocal left, depth
        depth += 1
        depths.append(depth)
        for _ in range(min(left, 5)):
            left -= 1
            ws.send(bytes(4000), key=left)
        depth -= 1

    handler = Recorder(drain=send_some)
    peer, ws = net.open(handler, slow_consumer=policy, **SMALL)
    send_some(ws)
    net.until(lambda: len(peer.frames) == 400)
    assert max(depths) <= 2 and len(depths) >= 80, "2: the first is not called by on_drain"
    assert ws.ready_state is State.OPEN and ws.settings.stats["dropped_messages"] == 0


def test_others_are_served_while_somebody_sends_on_in_on_drain(net: Net) -> None:
    left = 3000

    def send_some(ws: Endpoint) -> None:
        nonlocal left
        for _ in range(min(left, 5)):
            left -= 1
            ws.send(bytes(4000))

    handler = Recorder(drain=send_some)
    _, ws = net.open(handler, slow_consumer="close", **SMALL)
    served: list[int] = []
    net.loop.selector.call_threadsafe(lambda: served.append(left))
    send_some(ws)
    net.until(lambda: served)
    assert served[0] > 0, "a turn comes to its end"
    net.until(lambda: left == 0)


@pytest.mark.parametrize("act", ["disconnect", "close", "raise", "both"])
def test_an_on_drain_that_ends_it_is_not_called_again(
    net: Net, act: str, caplog: pytest.LogCaptureFixture
) -> None:
    def end(ws: Endpoint) -> None:
        for _ in range(3):
            ws.send(bytes(4000))
        if act in ("close", "both"):
            ws.close(4000)
        if act in ("disconnect", "both"):
            ws.disconnect()
        if act == "raise":
            raise KeyError

    handler = Recorder(drain=end)
    peer, ws = net.open(handler, slow_consumer="close", **SMALL)
    for _ in range(3):
        ws.send(bytes(4000))
    net.until(lambda: peer.ended or any(opcode == CLOSE for opcode, _ in peer.frames))
    net.settle()
    assert len(handler.named("drain")) == 1
    assert len(caplog.records) == (act == "raise")
    caplog.clear()


def test_on_drain_comes_once_for_each_time_that_it_was_full(net: Net) -> None:
    handler = Recorder()
    peer, ws = net.open(handler, slow_consumer="close", **SMALL)
    for number in range(1, 4):
        ws.send(bytes(5000))
        net.until(lambda number=number: len(peer.frames) == number)
        net.settle()
        assert len(handler.named("drain")) == number


# --- keys ----------------------------------------------------------------------------------------


class Key:
    """Equal to its like, and does something whenever that is asked."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        act, self.act = self.act, lambda: None
        act()
        return isinstance(other, Key)


@pytest.mark.parametrize("end", ["disconnect", "close"])
def test_a_key_that_ends_the_connection_while_it_is_compared(net: Net, end: str) -> None:
    _, ws = blocked(net, Recorder(), slow_consumer="newest-per-key", max_queue_bytes=16 << 20)
    assert ws.send("first", key=Key(getattr(ws, end)))
    assert ws.send("second", key=Key(lambda: None)) is False
    assert ws.send("third", key=Key(lambda: None)) is False
    assert ws.ready_state is not State.OPEN


def test_a_key_that_raises_changes_nothing_that_waits(net: Net) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    peer, ws = blocked(net, Recorder(), slow_consumer="newest-per-key", max_queue_bytes=16 << 20)
    assert ws.send("first", key=Key(fail))
    held = ws.buffered_bytes
    with pytest.raises(ZeroDivisionError):
        ws.send("second", key=Key(lambda: None))
    assert ws.buffered_bytes == held
    peer.read()
    net.until(lambda: len(peer.frames) == 2, 30)
    assert peer.frames[1] == (TEXT, b"first")


def test_a_key_that_sends_while_it_is_compared(net: Net) -> None:
    peer, ws = blocked(net, Recorder(), slow_consumer="newest-per-key", max_queue_bytes=16 << 20)
    assert ws.send("first", key=Key(lambda: ws.send("nested", key="other")))
    assert ws.send("second", key=Key(lambda: None))
    peer.read()
    net.until(lambda: len(peer.frames) == 3, 30)
    assert peer.frames[1:] == [(TEXT, b"nested"), (TEXT, b"second")]


# --- iterables -----------------------------------------------------------------------------------


def test_what_an_iterable_sends_before_its_first_part_comes_before_it(net: Net) -> None:
    peer, ws = blocked(net, Recorder(), slow_consumer="drop-oldest", max_queue_bytes=16 << 20)

    def parts() -> Iterator[str]:
        assert ws.send("before")
        yield "a"
        yield "b"

    assert ws.send("waiting")
    assert ws.send_fragments(parts())
    peer.read()
    net.until(lambda: len(peer.frames) == 5, 30)
    assert [payload for _, payload in peer.frames[1:]] == [b"waiting", b"before", b"a", b"b"]


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("end", ["disconnect", "close"])
def test_an_iterable_that_ends_the_connection(net: Net, end: str, after: int) -> None:
    peer, ws = net.open(Recorder())

    def parts() -> Iterator[bytes]:
        for number in range(4):
            if number == after:
                getattr(ws, end)()
            yield b"x"

    assert ws.send_fragments(parts()) is False
    net.until(lambda: peer.ended or peer.frames[-1:] and peer.frames[-1][0] == CLOSE)
    assert len([1 for opcode, _ in peer.frames if opcode != CLOSE]) <= after


def test_an_iterable_within_an_iterable(net: Net) -> None:
    peer, ws = net.open(Recorder())

    def outer() -> Iterator[bytes]:
        assert ws.send_fragments([b"inner"])
        yield b"a"
        with pytest.raises(LocalProtocolError, match="not finished"):
            yield b"b" if ws.ping() else b""
            ws.send_fragments([b"too late"])
        yield b"c"

    assert ws.send_fragments(outer())
    net.until(lambda: len(peer.frames) == 5)
    payloads = [payload for opcode, payload in peer.frames if opcode in (0, BINARY)]
    assert payloads == [b"inner", b"a", b"b", b"c"]


def test_what_is_no_iterable_changes_nothing(net: Net) -> None:
    peer, ws = net.open(Recorder())
    with pytest.raises(TypeError):
        ws.send_fragments(None)  # type: ignore[arg-type]
    assert ws.send("fine")
    peer.expect((TEXT, b"fine"))
