"""The run loop: when it ends, and what it lets through."""

from __future__ import annotations

import selectors
import threading
from collections.abc import Iterator

import pytest

from backends import BACKENDS
from sockets import Net, Recorder, network, text
from wire import TEXT
from wsfast.loop import Loop
from wsfast.selector import EpollSelector


@pytest.fixture(params=BACKENDS)
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def test_it_makes_a_selector_or_takes_one() -> None:
    own = Loop()
    assert isinstance(own.selector, EpollSelector)
    given = EpollSelector(backend=selectors.SelectSelector)
    assert Loop(given).selector is given
    own.close()
    given.close()
    with pytest.raises(ValueError):
        own.selector.select(0)


def test_messages_over_every_backend(net: Net) -> None:
    """Where there is no epoll the same endpoints work."""
    handler, client = Recorder(echo=True), Recorder(open=lambda ws: ws.send("hello"))
    server = net.server(handler)
    net.client(server, client)
    peer = net.peer(server).upgrade()
    peer.send(text("raw"), 1)
    peer.expect((TEXT, b"raw"))
    net.until(lambda: client.messages == ["hello"])
    large = bytes(range(256)) * 8192
    net.clients[0].send(large[:1_000_000])
    net.until(lambda: len(client.messages) == 2)
    assert client.messages[1] == large[:1_000_000]
    net.clients[0].close(3000)
    net.until(lambda: client.closes)
    assert client.closes == [(3000, "")]


def test_stop_from_a_handler_ends_run(net: Net) -> None:
    handler = Recorder(message=lambda ws, message: net.loop.stop())
    peer, _ = net.open(handler)
    peer.send(text("stop"))
    net.loop.run()
    assert handler.messages == ["stop"]


def test_stop_before_run_ends_it_at_once_and_only_it(net: Net) -> None:
    """A signal that comes just before run() must not be lost."""
    net.loop.stop()
    net.loop.run()
    calls: list[int] = []
    net.loop.selector.call_later(0, lambda: (calls.append(1), net.loop.stop()))
    net.loop.run()
    assert calls == [1]


def test_stop_from_another_thread_wakes_it_up(net: Net) -> None:
    begun = threading.Event()
    net.loop.selector.call_threadsafe(begun.set)

    def stop() -> None:
        assert begun.wait(10)
        net.loop.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    net.loop.run()
    thread.join(10)
    assert not thread.is_alive()


def test_what_a_callback_raises_leaves_run(net: Net) -> None:
    net.loop.selector.call_threadsafe(int, "no number")
    with pytest.raises(ValueError, match="no number"):
        net.loop.run()
    net.loop.stop()
    net.loop.run()


def test_run_while_returns_the_last_value_of_the_condition(net: Net) -> None:
    left = [3]

    def condition() -> int:
        net.loop.selector.wakeup()
        left[0] -= 1
        return left[0]

    assert net.loop.run_while(condition, 10) == -1
    assert net.loop.run_while(lambda: "still", 0.05) == "still"


def test_run_while_takes_its_timer_away(net: Net) -> None:
    with pytest.raises(ZeroDivisionError):
        net.loop.run_while(lambda: 1 // 0, 0.01)
    assert net.loop.run_while(lambda: [], 10) == []
    assert net.loop.selector.select(0.2) == []
