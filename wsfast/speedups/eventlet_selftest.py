"""The self-test of eventlet: WebSockets over bytes, with the originals and with ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from .eventlet import MASK, PACK, VALIDATORS
from .hoehrmann import compare_validators, text_of
from .selftest import Mismatch, compare, frame_bytes, outcome
from .target import Level, Originals, Workload

__all__ = ["Socket", "selftest", "unmasked", "websocket", "workloads"]


class Socket:
    """Gives what was put in, at most so many bytes at once, and swallows what is sent."""

    def __init__(self, data: bytes = b"") -> None:
        self.data, self.at, self.most = data, 0, 1 << 30

    def recv(self, size: int) -> bytes:
        found = self.data[self.at : self.at + min(size, self.most)]
        self.at += len(found)
        return found

    def sendall(self, data: bytes) -> None:
        """Nobody reads it."""

    def shutdown(self, how: object) -> None:
        """There is nothing to shut down."""

    def close(self) -> None:
        """There is nothing to close."""


def websocket(sock: Socket, **options: Any) -> Any:
    """A WebSocket of eventlet over a socket."""
    from eventlet.websocket import RFC6455WebSocket

    return RFC6455WebSocket(sock, {}, **options)


def selftest(originals: Originals, level: Level, random: Random) -> None:
    """See `Part.selftest`."""
    from eventlet import websocket as module

    if VALIDATORS in originals:
        theirs = originals[VALIDATORS].Utf8Validator
        compare_validators(theirs, module.utf8validator.Utf8Validator, random)
    _check_masks(originals[MASK].__func__, random)
    _check_received(random)
    if level == "frames":
        _check_packed(originals[PACK], random)
        if not getattr(module.RFC6455WebSocket._pack_message, "__wsfast__", False):
            raise Mismatch("_pack_message is not ours")


def _check_masks(original: Any, random: Random) -> None:
    ours = websocket(Socket())._apply_mask
    for size in (0, 1, 3, 4, 5, random.randrange(300)):
        data = random.randbytes(size)
        key = list(random.randbytes(4))
        length = random.choice((None, size, size, size - 1, size + 1, True, -1))
        offset = random.choice((0, 1, 7, random.randrange(10**20), -3, True))
        masks = [bytes(key), [1, 2, 3], [*key, 5], [256, 1, 2, 3], None]
        for mask in (key, tuple(key), random.choice(masks)):
            for given in (data, bytearray(data), memoryview(data)):
                compare("_apply_mask", original, ours, given, mask, length, offset)
        compare("_apply_mask", original, ours, data, key)


def _check_received(random: Random) -> None:
    """Messages come through whole, whatever parts the socket gives them in."""
    text = text_of(random.choice((1, 100, 126, 126, 5000)), random)
    sock = Socket(frame_bytes(1, text, masking_key=random.randbytes(4)))
    sock.most = random.choice((10, 1000, 100_000))
    if websocket(sock).wait() != text.decode():
        raise Mismatch(f"a text of {len(text)} bytes did not come through")


def unmasked(frame: bytes) -> tuple[bytes, bytes]:
    """The header of a frame without its masking key, and the payload as it was."""
    start = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    if not frame[1] & 0x80:
        return frame[:start], frame[start:]
    key, payload = frame[start : start + 4], frame[start + 4 :]
    return frame[:start], bytes(b ^ key[i & 3] for i, b in enumerate(payload))


def _check_packed(original: Any, random: Random) -> None:
    for _ in range(12):
        text = text_of(random.choice((0, 1, 50, 125, 126)), random)
        deflate: dict[str, Any] = {"permessage-deflate": {}} if random.random() < 0.2 else {}
        ws = websocket(Socket(), client=True, extensions=deflate)
        ws._deflate_enc = None
        message = random.choice((text, text.decode(), bytearray(text), memoryview(text), "\ud800"))
        named: dict[str, Any] = {"masked": random.choice((True, False, 1))}
        if random.random() < 0.5:
            named["control_code"] = random.choice((8, 9, 10, 0, None, 7, 11))
        if random.random() < 0.5:
            named |= {"continuation": random.random() < 0.5, "final": random.random() < 0.7}
        expected = outcome(original, ws, message, **named)
        got = outcome(ws._pack_message, message, **named)
        if expected.kind == "returned" and not deflate and got.kind == "returned":
            if expected.value[0] is not got.value[0]:
                raise Mismatch(f"_pack_message({message!r}, {named}): {expected}, wsfast {got}")
            expected, got = (
                each._replace(value=unmasked(each.value[1])) for each in (expected, got)
            )
        if expected != got and not (deflate and expected.kind == got.kind):
            raise Mismatch(f"_pack_message({message!r}, {named}): {expected}, wsfast {got}")


# --- bench ---------------------------------------------------------------------------------------


def workloads() -> Sequence[Workload]:
    """See `Target.workloads`."""
    found = []
    for size in (125, 65536):
        data = b"a" * size
        for opcode, name in ((1, "text"), (2, "binary")):
            run = _receiving(frame_bytes(opcode, data, masking_key=b"four"))
            found.append(Workload(f"server receives {name}", size, run))
        for name, client in (("server", False), ("client", True)):
            ws = websocket(Socket(), client=client)
            run = functools.partial(ws.send, data.decode())
            found.append(Workload(f"{name} sends text", size, run))
    return found


def _receiving(frame: bytes) -> Callable[[], object]:
    sock = Socket(frame)
    ws = websocket(sock)

    def run() -> object:
        sock.at = 0
        return ws.wait()

    return run
