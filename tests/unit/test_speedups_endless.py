"""The socket that `bench` reads from: it never ends, and what it gives is what was put in."""

from __future__ import annotations

import pytest

from wsfast.speedups.endless import EndlessSocket

FRAMES = bytes(range(200))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 200, 4096])
def test_it_gives_the_frames_again_and_again(size: int) -> None:
    socket = EndlessSocket(FRAMES)
    read = b""
    while len(read) < 5 * len(FRAMES):
        piece = socket.recv(size)
        assert 0 < len(piece) <= size
        read += piece
    assert read == (FRAMES * 6)[: len(read)]


def test_a_read_ends_where_the_frames_do() -> None:
    socket = EndlessSocket(FRAMES)
    assert socket.recv(150) == FRAMES[:150]
    assert socket.recv(150) == FRAMES[150:]
    assert socket.recv(150) == FRAMES[:150]


def test_a_piece_is_cut_once() -> None:
    socket = EndlessSocket(FRAMES)
    first = socket.recv(150)
    socket.recv(150)
    assert socket.recv(150) is first


def test_it_takes_all_that_is_written_and_never_waits() -> None:
    socket = EndlessSocket(FRAMES)
    assert socket.send(b"12345") == 5
    assert socket.send(bytearray(7)) == 7
    assert socket.gettimeout() is None
    assert socket.recv(1) == FRAMES[:1]
