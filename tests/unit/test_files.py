"""File objects of a selector: what CPython's test_selectors asks of register and its kin."""

from __future__ import annotations

import os
import selectors
import socket
import tempfile

import pytest

from backends import socket_pair
from wsfast.callback import CallbackStream
from wsfast.selector import EpollSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
#: No process of the tests has so many descriptors.
UNKNOWN = 999_999


Pair = tuple[socket.socket, socket.socket]


def test_register_returns_the_key(selector: EpollSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ, "data")
    assert isinstance(key, selectors.SelectorKey)
    assert key == (pair[0], pair[0].fileno(), READ, "data")
    assert selector.register(pair[1].fileno(), READ | WRITE).data is None


@pytest.mark.parametrize("events", [0, 4, 999_999, READ | 8, -1])
def test_invalid_events(selector: EpollSelector, pair: Pair, events: int) -> None:
    with pytest.raises(ValueError, match=f"Invalid events: {events}"):
        selector.register(pair[0], events)
    selector.register(pair[0], READ)
    with pytest.raises(ValueError, match="Invalid events"):
        selector.modify(pair[0], events)
    assert selector.get_key(pair[0]).events == READ


def test_invalid_file_objects(selector: EpollSelector) -> None:
    with pytest.raises(ValueError, match="Invalid file descriptor: -10"):
        selector.register(-10, READ)
    with pytest.raises(ValueError, match="Invalid file descriptor"):
        selector.register(1 << 40, READ)
    for fileobj in (object(), "0", None, 1.5):
        with pytest.raises(ValueError, match="Invalid file object"):
            selector.register(fileobj, READ)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="Invalid file object"):
            selector.unregister(fileobj)  # type: ignore[arg-type]


def test_register_twice(selector: EpollSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ)
    for again in (pair[0], pair[0].fileno()):
        with pytest.raises(KeyError, match=rf"\(FD {pair[0].fileno()}\) is already registered"):
            selector.register(again, WRITE)
    assert selector.get_key(pair[0]) == key


def test_unregister(selector: EpollSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ, "data")
    assert selector.unregister(pair[0]) == key
    for unknown in (pair[0], UNKNOWN):
        with pytest.raises(KeyError, match="is not registered"):
            selector.unregister(unknown)
    assert selector.register(pair[0], WRITE).events == WRITE


def test_unregister_after_the_descriptor_was_closed(selector: EpollSelector) -> None:
    left, right = socket_pair()
    numbers = left.fileno(), right.fileno()
    selector.register(numbers[0], READ)
    selector.register(numbers[1], WRITE)
    left.close()
    right.close()
    assert [selector.unregister(number).fd for number in numbers] == list(numbers)


def test_unregister_after_the_socket_was_closed(selector: EpollSelector) -> None:
    left, right = socket_pair()
    keys = selector.register(left, READ), selector.register(right, WRITE)
    left.close()
    right.close()
    assert selector.get_key(left) == keys[0] and selector.get_map()[right] == keys[1]
    assert (selector.unregister(left), selector.unregister(right)) == keys
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        selector.unregister(left)


def test_unregister_after_close_and_reuse(selector: EpollSelector, pair: Pair) -> None:
    left, right = socket_pair()
    numbers = left.fileno(), right.fileno()
    selector.register(numbers[0], READ)
    selector.register(numbers[1], WRITE)
    left.close()
    right.close()
    os.dup2(pair[0].fileno(), numbers[0])
    os.dup2(pair[1].fileno(), numbers[1])
    try:
        selector.unregister(numbers[0])
        selector.unregister(numbers[1])
        assert not selector.get_map() and selector.select(0) == []
    finally:
        os.close(numbers[0])
        os.close(numbers[1])


def test_modify_events(selector: EpollSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ, "data")
    changed = selector.modify(pair[0], WRITE)
    assert changed == selector.get_key(pair[0]) == key._replace(events=WRITE, data=None)
    assert selector.select(1) == [(changed, WRITE)]
    with pytest.raises(KeyError, match="is not registered"):
        selector.modify(UNKNOWN, READ)


def test_modify_data_alone_asks_no_kernel(selector: EpollSelector) -> None:
    left, right = socket_pair()
    with right:
        number = left.fileno()
        selector.register(number, READ, 1)
        left.close()  # any system call for it would fail now
        assert selector.modify(number, READ, 2).data == selector.get_key(number).data == 2
        selector.unregister(number)


def test_a_modify_that_fails_unregisters() -> None:
    left, right = socket_pair()
    with EpollSelector() as selector, right:
        number = left.fileno()
        selector.register(number, READ)
        left.close()
        with pytest.raises(OSError):
            selector.modify(number, WRITE)
        assert number not in selector.get_map()


def test_a_modify_that_fails_in_the_backend_unregisters(pair: Pair) -> None:
    class Failing(selectors.SelectSelector):
        def modify(self, *args: object) -> selectors.SelectorKey:
            raise ZeroDivisionError

    with EpollSelector(backend=Failing) as selector:
        selector.register(pair[0], READ)
        with pytest.raises(ZeroDivisionError):
            selector.modify(pair[0], WRITE)
        assert len(selector.get_map()) == 0


def test_get_key(selector: EpollSelector, pair: Pair) -> None:
    key = selector.register(pair[0], READ, "data")
    assert selector.get_key(pair[0]) == selector.get_key(pair[0].fileno()) == key
    with pytest.raises(KeyError, match="999999 is not registered"):
        selector.get_key(UNKNOWN)


def test_get_map_is_live_and_read_only(selector: EpollSelector, pair: Pair) -> None:
    keys = selector.get_map()
    assert not keys and len(keys) == 0 and list(keys) == []
    key = selector.register(pair[0], READ, "data")
    assert pair[0] in keys and keys[pair[0]] == key and keys.get(UNKNOWN) is None
    assert list(keys) == [pair[0].fileno()] and list(keys.values()) == [key]
    with pytest.raises(KeyError, match="999999 is not registered"):
        keys[UNKNOWN]
    with pytest.raises(TypeError):
        del keys[pair[0]]  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        keys[pair[0]] = key  # type: ignore[index]
    selector.unregister(pair[0])
    assert not keys


def test_close(selector: EpollSelector, pair: Pair) -> None:
    keys = selector.get_map()
    selector.register(pair[0], READ)
    selector.close()
    selector.close()
    assert selector.closed and selector.get_map() is None
    with pytest.raises(RuntimeError, match="Selector is closed"):
        selector.get_key(pair[0])
    for lookup in (keys.__getitem__, selector.unregister):
        with pytest.raises(KeyError):
            lookup(pair[0])
    with pytest.raises(KeyError):
        selector.modify(pair[0], WRITE)
    for refused in (lambda: selector.register(pair[0], READ), selector.fileno, selector.select):
        with pytest.raises(ValueError, match="I/O operation on closed selector"):
            refused()


def test_context_manager(selector: EpollSelector, pair: Pair) -> None:
    with selector as entered:
        assert entered is selector
        entered.register(pair[0], READ)
    with pytest.raises(RuntimeError):
        selector.get_key(pair[0])


def test_epoll_refuses_a_regular_file() -> None:
    with EpollSelector() as selector, tempfile.NamedTemporaryFile() as file:
        if not selector_is_epoll(selector):
            pytest.skip("this platform has no epoll")
        with pytest.raises(PermissionError):
            selector.register(file, READ)
        with pytest.raises(KeyError):
            selector.get_key(file)


def selector_is_epoll(selector: EpollSelector) -> bool:
    """Whether it works over an epoll set, by the name of its descriptor."""
    try:
        return "eventpoll" in os.readlink(f"/proc/self/fd/{selector.fileno()}")
    except OSError:
        return False


def test_a_bad_descriptor_is_not_kept() -> None:
    left, right = socket_pair()
    number = left.fileno()
    left.close()
    right.close()
    with EpollSelector() as selector:
        with pytest.raises(OSError):
            selector.register(number, READ)
        with pytest.raises(KeyError):
            selector.get_key(number)


def test_one_descriptor_is_file_or_stream(selector: EpollSelector, pair: Pair) -> None:
    stream = CallbackStream(selector, pair[0].fileno(), READ)
    with pytest.raises(KeyError, match="already registered, as .*CallbackStream"):
        selector.register(pair[0], READ)
    assert pair[0] not in selector.get_map()
    stream.remove()
    selector.register(pair[0], READ)
    with pytest.raises(KeyError, match="is already registered"):
        CallbackStream(selector, pair[0].fileno(), READ)


def test_a_file_unregistered_by_a_callback_is_not_reported(selector: EpollSelector) -> None:
    pairs = [socket_pair() for _ in range(3)]
    for left, _ in pairs[1:]:
        selector.register(left, READ)

    def unregister(events: int) -> None:
        selector.unregister(pairs[1][0])
        stream.remove()

    stream = CallbackStream(selector, pairs[0][0].fileno(), READ, unregister)
    for _, right in pairs:
        right.send(b"x")
    assert [key.fileobj for key, _ in selector.select(1)] == [pairs[2][0]]
    for each in pairs:
        each[0].close()
        each[1].close()


def test_an_event_does_not_reach_the_next_owner_of_the_descriptor(selector: EpollSelector) -> None:
    first, old, new = socket_pair(), socket_pair(), socket_pair()
    selector.register(old[0], READ, "old")
    number = old[0].fileno()

    def replace(events: int) -> None:
        stream.remove()
        selector.unregister(old[0])
        os.dup2(new[0].fileno(), number)  # nothing has arrived for this one
        selector.register(number, READ, "new")

    stream = CallbackStream(selector, first[0].fileno(), READ, replace)
    first[1].send(b"x")
    old[1].send(b"x")
    assert selector.select(1) == []
    new[1].send(b"x")
    assert [key.data for key, _ in selector.select(1)] == ["new"]
    selector.unregister(number)
    for each in (first, old, new):
        each[0].close()
        each[1].close()
