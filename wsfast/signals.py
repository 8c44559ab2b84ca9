"""Signals as calls inside a loop."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

from wsfast.callback import CallbackStream
from wsfast.loop import Loop

__all__ = ["on_signals"]


@contextlib.contextmanager
def on_signals(loop: Loop, actions: Mapping[int, Callable[[], object]]) -> Iterator[None]:
    """Let signals call actions, in a turn of the loop; what was before is put back at the end.

    A Python signal handler runs in the middle of whatever is under way, a handler of messages
    included, and one that comes between the check for signals and the system call that waits
    would be seen only after the wait. So the interpreter only writes the signal's number to a
    socket, and the loop reads it.

    Args:
        loop: a `Loop` that this thread runs; asyncio has `add_signal_handler` for its own.
        actions: by number of the signal; called without arguments, once for each signal.

    Raises:
        ValueError: this is not the main thread; Python handles signals there only.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        """The interpreter has written the number by now."""

    def read(events: int) -> None:
        for number in reader.recv(4096):
            if number in actions:
                actions[number]()

    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        previous_wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        previous = {number: signal.signal(number, handle) for number in actions}
        watcher = CallbackStream(loop.selector, reader.fileno(), selectors.EVENT_READ, read)
        try:
            yield
        finally:
            watcher.remove()
            for number, handler in previous.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(previous_wakeup)
