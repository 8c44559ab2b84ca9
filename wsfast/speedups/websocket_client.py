"""websocket-client: what Kubernetes, Docker and exchange clients, Selenium and most scripts use.

At level kernels masking and UTF-8 validation are replaced, which are loops of Python unless the
old wsaccel is installed. At level frames a frame is read and built in C, and `WebSocket.recv` and
`send` do in one call what takes the library a dozen.

The library barely changed what it does: between 1.2.2 and 1.9.2 an attribute was renamed ("mask"
became "mask_value" in 1.7), a list became a tuple, and errors are worded better.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .guard import judge_all
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["TARGET"]

ABNF = "websocket._abnf:"
CORE = "websocket._core:"
WEBSOCKET = "websocket._core:WebSocket."

#: What the replaced methods call, and ours do themselves: part of what was tested, oldest first.
STOOD_FOR = {
    "websocket._utils:validate_utf8": "2f4fcea8cc39 09c13c189574",
    ABNF + "ABNF.__init__": "c6389d2355a3 a6f7e41eab1f",
    ABNF + "ABNF.validate": "ba58bcac42bc 5e64459f2554 5301d05b9b47 c1c89fd353c4 296f5e0b24c3",
    ABNF + "ABNF.create_frame": "3b455cdb7fee",
    ABNF + "ABNF._get_masked": "ef4613e4b659",
    ABNF + "frame_buffer.clear": "342285b2e877 d63666c2dcd7",
    ABNF + "frame_buffer.recv_header": "0418a6c42b63",
    ABNF + "frame_buffer.recv_length": "198e2f26b111 e60d9aae33b4",
    ABNF + "frame_buffer.recv_mask": "c11e51e63e2f 8b1e5608da8e",
    ABNF + "frame_buffer.recv_strict": "6945275fc203 70baef4389f9",
    ABNF + "continuous_frame.validate": "dddf2c8a8d00",
    ABNF + "continuous_frame.add": "471f6cd25a63",
    ABNF + "continuous_frame.is_fire": "e2d18fa4954a",
    ABNF + "continuous_frame.extract": "15232e7bf333 b9e8034dd066 91ac23f48f7c",
    WEBSOCKET + "recv_frame": "acb54a1c78f9",
    WEBSOCKET + "send_frame": "af4617463b64 0df2c69c7698 3743cdd82adf",
    WEBSOCKET + "_recv": "6c2e1094f688 a037e115c68c",
    WEBSOCKET + "_send": "a5d15fbd8ae1 c47ad5729ba1",
    CORE + "recv": "f7787dfe6b59 525621205c56 727552f505fa f9e1c99ec799",
    CORE + "send": "5e9e2818475c ffcb0d7180b2 c29c1cfd1068 11cea83f339e",
    CORE + "isEnabledForTrace": "48be30bb1787",
}


def _slots() -> Sequence[Slot]:
    from .websocket_client_frames import Frames
    from .websocket_client_kernels import make_mask, make_validate_utf8
    from .websocket_client_messages import Messages

    @functools.cache
    def frames() -> Frames:
        judge_all(STOOD_FOR)
        return Frames()

    @functools.cache
    def messages() -> Messages:
        return Messages(frames())

    def deep(where: str, make: Callable[[Any], Any], parameters: str, fingerprints: str) -> Slot:
        names, marks = tuple(parameters.split()), frozenset(fingerprints.split())
        return Slot(where, make, level="frames", parameters=names, fingerprints=marks)

    return [
        Slot(ABNF + "ABNF.mask", make_mask, parameters=("mask_key", "data")),
        Slot(
            "websocket._utils:_validate_utf8",
            make_validate_utf8,
            parameters=("utfbytes",),
        ),
        deep(
            ABNF + "ABNF.format",
            lambda original: frames().make_format(original),
            "self",
            "e0439ff89e59 01dcc8b79a8d",
        ),
        deep(
            ABNF + "frame_buffer.recv_frame",
            lambda original: frames().make_recv_frame(original),
            "self",
            "558e7e8c8756 3f2a51936417 b5cddf796c81",
        ),
        deep(
            WEBSOCKET + "recv",
            lambda original: messages().make_recv(original),
            "self",
            "d035eccb250a a5bf30bf5a95",
        ),
        deep(
            WEBSOCKET + "recv_data",
            lambda original: messages().make_recv_data(original),
            "self control_frame",
            "4c832e98154c",
        ),
        deep(
            WEBSOCKET + "recv_data_frame",
            lambda original: messages().make_recv_data_frame(original),
            "self control_frame",
            "ffb86a9cf3f8 f5bd1f8f877c 08ae023b0c77 49fa06f3be34",
        ),
        deep(
            WEBSOCKET + "send",
            lambda original: messages().make_send(original),
            "self payload opcode",
            "0a0889b84a12",
        ),
    ]


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .websocket_client_selftest import selftest

    selftest(originals, level, random)


def _workloads() -> Sequence[Workload]:
    from websocket import WebSocket

    from .endless import EndlessSocket
    from .selftest import frame_bytes

    found = []
    for size in (125, 65536, 1 << 20):
        for opcode, kind in ((1, "text"), (2, "binary")):
            payload = b"x" * size
            connection = WebSocket()
            connection.sock = EndlessSocket(frame_bytes(opcode, payload))
            message = payload.decode() if opcode == 1 else payload
            send = functools.partial(connection.send, message, opcode)
            found.append(Workload(f"recv {kind}", size, connection.recv))
            found.append(Workload(f"send {kind}", size, send))
    return found


TARGET = Target(
    library="websocket-client",
    package="websocket",
    tested=("1.2.2", "1.10"),
    parts=(Part("websocket", _slots, _selftest),),
    workloads=_workloads,
)
