"""What is read from, again and again, while `bench` times a library that reads from its socket."""

from __future__ import annotations

__all__ = ["EndlessSocket"]


class EndlessSocket:
    """A socket that always has the same frames to read, and takes whatever is written.

    Args:
        frames: what comes; behind its end it begins anew.
    """

    def __init__(self, frames: bytes) -> None:
        self._frames = frames
        self._read = 0
        self._pieces: dict[tuple[int, int], bytes] = {}  # cut once: that is not to be measured

    def gettimeout(self) -> None:
        """It blocks, for none of them has to wait."""
        return None

    def recv(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end of the frames."""
        asked = (self._read, size)
        data = self._pieces.get(asked)
        if data is None:
            data = self._pieces[asked] = self._frames[self._read : self._read + size]
        self._read = (self._read + len(data)) % len(self._frames)
        return data

    def send(self, data: bytes | bytearray) -> int:
        """All of it is gone."""
        return len(data)
