"""Memory between two pages that nobody may touch: a byte read too far is a crash, not a guess."""

from __future__ import annotations

import ctypes
import mmap
import sys

__all__ = ["Guarded", "available"]

PAGE = mmap.PAGESIZE


def available() -> bool:
    """Whether pages can be protected here."""
    return sys.platform != "win32"


class Guarded:
    """Readable and writable memory between two pages without any right.

    Attributes:
        size: bytes between the two pages.
        address: where they start.
    """

    def __init__(self, size: int = 2 * PAGE) -> None:
        self.size = (size + PAGE - 1) // PAGE * PAGE
        self._map = mmap.mmap(-1, self.size + 2 * PAGE)
        self._view = memoryview(self._map)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self._view))
        self.address = first + PAGE
        self._forbid(first)
        self._forbid(self.address + self.size)

    def _forbid(self, address: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if libc.mprotect(address, PAGE, 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect failed")

    def at_start(self, data: bytes) -> memoryview:
        """data with its first byte right behind the first guard."""
        return self._put(PAGE, data)

    def at_end(self, data: bytes) -> memoryview:
        """data with its last byte right before the second guard."""
        return self._put(PAGE + self.size - len(data), data)

    def _put(self, at: int, data: bytes) -> memoryview:
        view = self._view[at : at + len(data)]
        view[:] = data
        return view

    def place(self, data: bytes, *, end: bool, slack: int = 0) -> int:
        """As at_start or at_end, `slack` bytes away from the guard.

        Returns:
            The address of data, for calls through ctypes.
        """
        at = self.size - len(data) - slack if end else slack
        self._put(PAGE + at, data)
        return self.address + at
