"""wsproto: the sans-I/O library under uvicorn's `ws="wsproto"`, Hypercorn, Quart, trio-websocket,
httpx-ws, simple-websocket and Flask-Sock.

At level kernels its masker is replaced; at level frames whole frames are read and written, and
events made, in C. Classes stay the library's own: only methods are rebound.

1.0 to 1.3 differ in little that shows: before 1.3 a masked payload is bytes and any other a
bytearray, 1.3.0 and 1.3.1 put bytearrays into events, and up to 1.1 anything may be sent in any
state. `wsproto_names.Names` asks the library which it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .guard import find, judge_all
from .target import Level, Originals, Part, Slot, Target, Workload

if TYPE_CHECKING:
    from random import Random

__all__ = ["TARGET"]

#: What makes a replacement out of an original and the library's names.
Maker = Callable[[Any, Any], Any]
#: Looks the library's names up, once.
Names = Callable[[], Any]

FRAMES = "wsproto.frame_protocol:"
CONNECTION = "wsproto.connection:Connection."
DEFLATE = "wsproto.extensions:PerMessageDeflate."

#: What the replaced methods call, and ours do themselves: part of what was tested. 1.0 | 1.3.
STOOD_FOR = {
    FRAMES + "FrameDecoder.__init__": "e1bf382e701e",
    FRAMES + "FrameDecoder.parse_header": "74c79e4b15c1 1ca96fe80ab9",
    FRAMES + "FrameDecoder.parse_extended_payload_length": "79de5c7094a3 2256339464e3",
    FRAMES + "FrameDecoder.extension_processing": "aecef358c039 e0d5b236989f",
    FRAMES + "FrameProtocol.__init__": "326902bee067",
    FRAMES + "FrameProtocol.ping": "3e4335e8f729",
    FRAMES + "FrameProtocol.pong": "f0bd18c6794a",
    FRAMES + "FrameProtocol._make_fin_rsv_opcode": "f528764d68a1",
    DEFLATE + "_compressible_opcode": "c65a56f10683",
}


def _slots() -> Sequence[Slot]:
    from .wsproto_names import Names

    names = functools.cache(Names)
    mask = Slot(FRAMES + "XorMaskerSimple.process", _mask, parameters=("self", "data"))
    return [mask, *_decoding(names), *_receiving(names), *_sending(names), *_deflating(names)]


def _mask(original: Any) -> Any:
    from .wsproto_mask import make_process

    masker = find(FRAMES + "XorMaskerSimple")[2](b"1234")
    return make_process(original, isinstance(original(masker, b"?"), bytes))


def _slot(names: Names, where: str, make: Maker, parameters: str, fingerprints: str) -> Slot:
    """A slot of level frames. `names` is called when it is filled: then the library is needed."""
    return Slot(
        where,
        lambda original: make(original, names()),
        level="frames",
        parameters=tuple(parameters.split()),
        fingerprints=frozenset(fingerprints.split()),
    )


def _decoding(names: Names) -> Iterator[Slot]:
    from .wsproto_decoder import make_process_buffer
    from .wsproto_messages import make_process_frame
    from .wsproto_parser import make_decoder_receive_bytes

    def make(original: Any, names: Any) -> Any:
        judge_all(STOOD_FOR)
        return make_process_buffer(original, names)

    decoder = FRAMES + "FrameDecoder."
    known = "92aacbb04031 d61d5568e311"
    yield _slot(names, decoder + "process_buffer", make, "self", known)
    made = make_decoder_receive_bytes
    yield _slot(names, decoder + "receive_bytes", made, "self data", "acb028a8e2c2")
    known = "c381bc7803a7 2eeeae2751a1"
    where = FRAMES + "MessageDecoder.process_frame"
    yield _slot(names, where, make_process_frame, "self frame", known)


def _receiving(names: Names) -> Iterator[Slot]:
    from .wsproto_events import make_events, make_receive_data, make_upgraded_events
    from .wsproto_parser import (
        make_parse_more,
        make_protocol_receive_bytes,
        make_received_frames,
    )

    protocol = FRAMES + "FrameProtocol."
    made = make_protocol_receive_bytes
    yield _slot(names, protocol + "receive_bytes", made, "self data", "b504e7fc67a0")
    yield _slot(names, protocol + "_parse_more_gen", make_parse_more, "self", "51d4931518cc")
    yield _slot(names, protocol + "received_frames", make_received_frames, "self", "9ad8d96c727e")
    known = "2e8f40e4d045 78461ea342ac"
    yield _slot(names, CONNECTION + "receive_data", make_receive_data, "self data", known)
    known = "80179aa96c1f 110c1c128da6 d8d0d34b488e"
    yield _slot(names, CONNECTION + "events", make_events, "self", known)
    where = "wsproto:WSConnection.events"
    yield _slot(names, where, make_upgraded_events, "self", "b31a66b63282")


def _sending(names: Names) -> Iterator[Slot]:
    from .wsproto_send import make_send, make_send_data, make_serialize_frame

    protocol = FRAMES + "FrameProtocol."
    made, known = make_serialize_frame, "f2bcb1821119 13c4bca0366b"
    yield _slot(names, protocol + "_serialize_frame", made, "self opcode payload fin", known)
    known = "d55f28956edd ebc9a0539210"
    yield _slot(names, protocol + "send_data", make_send_data, "self payload fin", known)
    known = "42d8e4a91b6f f55b5b5ce73e 01705ccf384b"
    yield _slot(names, CONNECTION + "send", make_send, "self event", known)


def _deflating(names: Names) -> Iterator[Slot]:
    from .wsproto_deflate import (
        make_inbound_complete,
        make_inbound_header,
        make_inbound_payload,
        make_outbound,
    )

    parameters = "self proto opcode rsv payload_length"
    where = DEFLATE + "frame_inbound_header"
    yield _slot(names, where, make_inbound_header, parameters, "6b5d7c3f9670")
    where = DEFLATE + "frame_inbound_payload_data"
    yield _slot(names, where, make_inbound_payload, "self proto data", "b8765f162262")
    where = DEFLATE + "frame_inbound_complete"
    yield _slot(names, where, make_inbound_complete, "self proto fin", "f40421748361")
    parameters, known = "self proto opcode rsv data fin", "e152d657ff87 125d24a108cd"
    yield _slot(names, DEFLATE + "frame_outbound", make_outbound, parameters, known)


def _workloads() -> Sequence[Workload]:
    from wsproto.connection import Connection, ConnectionType
    from wsproto.events import BytesMessage, TextMessage

    found: list[Workload] = []
    for size in (125, 65536, 1 << 20):
        payload = b"x" * size
        for event in (TextMessage(data=payload.decode()), BytesMessage(data=payload)):
            kind = "text" if isinstance(event, TextMessage) else "binary"
            for sender, receiver in (("CLIENT", "SERVER"), ("SERVER", "CLIENT")):
                send = Connection(ConnectionType[sender])
                receive = Connection(ConnectionType[receiver])
                found += _directions(kind, size, send, receive, event)
    for size in (125, 65536):
        text = " ".join(map(str, range(size)))[:size]
        pair = _deflating_connection("CLIENT"), _deflating_connection("SERVER")
        found += _directions("deflated text", size, *pair, TextMessage(data=text))
    return found


def _deflating_connection(role: str) -> Any:
    """Without context takeover, so that one frame can be read again and again."""
    from wsproto.connection import Connection, ConnectionType
    from wsproto.extensions import PerMessageDeflate

    deflate = PerMessageDeflate(client_no_context_takeover=True)
    deflate.finalize("permessage-deflate")
    return Connection(ConnectionType[role], [deflate])


def _directions(kind: str, size: int, send: Any, receive: Any, event: Any) -> Sequence[Workload]:
    frame = send.send(event)
    masked = "masked" if send.client else "plain"
    work = [
        Workload(f"parse {masked} {kind}", size, functools.partial(_parse, receive, frame)),
        Workload(f"send {masked} {kind}", size, functools.partial(send.send, event)),
    ]
    if size < 1000:
        many = functools.partial(_parse, receive, frame * 32)
        work.append(Workload(f"parse {masked} {kind}, 32 a read", size, many, frames=32))
    return work


def _parse(connection: Any, data: bytes) -> None:
    connection.receive_data(data)
    for _ in connection.events():
        pass


def _selftest(originals: Originals, level: Level, random: Random) -> None:
    from .wsproto_selftest import selftest

    selftest(originals, level, random)


TARGET = Target(
    library="wsproto",
    package="wsproto",
    tested=("1.0", "1.4"),
    parts=(Part("wsproto", _slots, _selftest),),
    workloads=_workloads,
)
