"""wsfast.loadgen.sendbatch: sends in one system call do what as many calls of send() do."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from random import Random

import pytest

pytest.importorskip("numpy")
sendbatch = pytest.importorskip("wsfast.loadgen.sendbatch")
SendBatch = sendbatch.SendBatch

try:
    SendBatch(1)
except OSError as refusal:
    pytest.skip(f"no io_uring here: {refusal}", allow_module_level=True)


@pytest.fixture
def pairs():
    """Sixteen pairs of connected sockets; ours do not block."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(16):
            ours, peer = socket.socketpair()
            ours.setblocking(False)
            peer.settimeout(60)
            made.append((stack.enter_context(ours), stack.enter_context(peer)))
        yield made


def held(pairs):
    """A batch that knows them, by their place."""
    batch = SendBatch(len(pairs))
    for number, (ours, _) in enumerate(pairs):
        batch.hold(number, ours.fileno())
    return batch


@pytest.mark.parametrize("seed", range(5))
def test_each_gets_its_own_in_order(pairs, seed):
    random = Random(seed)
    batch = held(pairs)
    expected = [b""] * len(pairs)
    for _ in range(200):
        messages = []
        for _ in range(random.randint(0, 16)):
            number = random.randrange(len(pairs))
            message = random.randbytes(random.choice((1, 2, 28, 126, 2048)))
            messages.append((number, message))
            expected[number] += message
        assert batch.send(messages) == [len(message) for _, message in messages]
        for number, (_, peer) in enumerate(pairs):
            if expected[number]:
                received = peer.recv(1 << 17)
                assert received == expected[number][: len(received)]
                expected[number] = expected[number][len(received) :]
    assert not any(expected)


def test_what_a_full_socket_takes_is_told(pairs):
    """As send() would: some of it, or EAGAIN; the others are not kept waiting."""
    batch = held(pairs)
    message = b"x" * 2048
    sent = 0
    while (result := batch.send([(0, message), (1, b"y")])[0]) > 0:
        sent += result
        assert pairs[1][1].recv(10) == b"y"
    assert result == -errno.EAGAIN
    received = b""
    while len(received) < sent:
        received += pairs[0][1].recv(1 << 16)
    assert received == b"x" * sent
    assert batch.send([(0, message)]) == [2048]


def test_a_broken_socket_is_told_apart(pairs):
    batch = held(pairs)
    pairs[2][1].close()
    results = batch.send([(1, b"one"), (2, b"two"), (3, b"three")])
    assert results == [3, -errno.EPIPE, 5]
    assert pairs[3][1].recv(10) == b"three"


def test_a_number_without_a_socket(pairs):
    batch = SendBatch(2)
    batch.hold(1, pairs[1][0].fileno())
    assert batch.send([(0, b"nobody"), (1, b"one")]) == [-errno.EBADF, 3]
    with pytest.raises(OSError):
        batch.hold(2, pairs[2][0].fileno())
    with pytest.raises(OSError):
        batch.hold(0, 1 << 20)


def test_a_socket_ends_when_its_number_is_taken_back(pairs):
    batch = held(pairs)
    ours, peer = pairs[0]
    ours.close()
    assert batch.send([(0, b"still there")]) == [11]
    assert peer.recv(100) == b"still there"
    batch.hold(0, -1)
    assert peer.recv(100) == b""


def test_a_number_can_be_given_to_another(pairs):
    batch = held(pairs)
    batch.hold(0, pairs[5][0].fileno())
    assert batch.send([(0, b"for five")]) == [8]
    assert pairs[5][1].recv(100) == b"for five"


def test_its_own_end_lets_go_of_all(pairs):
    batch = held(pairs)
    for ours, _ in pairs:
        ours.close()
    del batch
    assert all(peer.recv(10) == b"" for _, peer in pairs)


def test_another_thread_is_refused_and_nothing_is_lost(pairs):
    """The kernel keeps a ring to one thread; what it does not try is told as EAGAIN."""
    batch = held(pairs)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(batch.send([(0, b"from there"), (1, b"too")]))
    )
    thread.start()
    thread.join()
    assert results == [[-errno.EAGAIN] * 2]
    assert batch.send([(0, b"from here")]) == [9]
    assert pairs[0][1].recv(100) == b"from here"


def test_too_much_is_refused_and_nothing_leaves(pairs):
    batch = held(pairs)
    with pytest.raises(ValueError, match="17 messages are more than 16"):
        batch.send([(0, b"x")] * 17)
    with pytest.raises(ValueError, match="2049 bytes exceeds 2048"):
        batch.send([(0, b"x"), (1, b"y" * 2049)])
    for number in (-1, 1 << 31):
        with pytest.raises(ValueError, match=f"{number} is not 0 to"):
            batch.send([(0, b"x"), (number, b"y")])
    pairs[0][1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pairs[0][1].recv(10)
    assert batch.send([(0, b"x")] * 16) == [1] * 16


@pytest.mark.parametrize("sockets", [0, -1])
def test_room_for_none_is_refused(sockets):
    with pytest.raises(ValueError, match="1 or more"):
        SendBatch(sockets)


def test_batches_leave_no_descriptors(pairs):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        held(pairs).send([(0, b"x")])
    assert len(os.listdir("/proc/self/fd")) == before
