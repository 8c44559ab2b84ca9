"""Signals come as calls inside a turn of the loop, and what was before is put back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from sockets import Net, network
from wsfast.loop import Loop
from wsfast.signals import on_signals


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def test_an_action_is_called_in_a_turn_once_for_each_signal(net: Net) -> None:
    called: list[object] = []

    def action() -> None:
        called.append(net.loop.selector.dispatching)

    with on_signals(net.loop, {signal.SIGUSR1: action}):
        signal.raise_signal(signal.SIGUSR1)
        assert not called, "it waits for the loop"
        net.until(lambda: called)
        signal.raise_signal(signal.SIGUSR1)
        net.until(lambda: len(called) == 2)
    assert called == [True, True]


def test_a_signal_wakes_a_loop_that_waits(net: Net) -> None:
    """From another thread, so that the loop waits in the kernel while it comes."""
    with on_signals(net.loop, {signal.SIGUSR2: net.loop.stop}):
        sender = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR2])
        sender.start()
        net.loop.run()
        sender.join()


def test_each_signal_has_its_own_action(net: Net) -> None:
    called: list[str] = []
    actions = {
        signal.SIGUSR1: lambda: called.append("one"),
        signal.SIGUSR2: lambda: called.append("two"),
    }
    with on_signals(net.loop, actions):
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)
        net.until(lambda: len(called) == 2)
    assert called == ["two", "one"]


def test_what_was_before_is_put_back(net: Net) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(KeyError), on_signals(net.loop, {signal.SIGUSR1: lambda: None}):
        assert signal.getsignal(signal.SIGUSR1) is not before
        raise KeyError
    assert signal.getsignal(signal.SIGUSR1) is before
    assert signal.set_wakeup_fd(-1) == -1
    assert not net.loop.selector.get_map()


def test_only_in_the_main_thread() -> None:
    raised: list[BaseException] = []

    def enter() -> None:
        loop = Loop()
        try:
            with on_signals(loop, {signal.SIGUSR1: loop.stop}):
                pass
        except ValueError as error:
            raised.append(error)
        loop.close()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])
