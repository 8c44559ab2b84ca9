"""FrameDecoder.process_buffer of wsproto, replaced: frames, parts of frames, refusals, hooks."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import pytest

pytest.importorskip("wsproto")

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, Opcode, ParseFailed, RsvBits

from ids import shown
from wsfast import speedups
from wsfast.speedups.selftest import frame_bytes, outcome, typed

KEY = b"\xa1\x02\xf3\x04"
CUTS = [1, 2, 3, 7, 100_000]


def decoded(
    stream: bytes, cut: int, *, client: bool = False, extensions: Any = list, kind: Any = bytes
) -> list[Any]:
    """Everything a decoder says to a stream that comes in pieces, errors and state included."""
    decoder = FrameDecoder(client, extensions())
    found: list[Any] = []
    for start in range(0, len(stream), cut):
        decoder.receive_bytes(kind(stream[start : start + cut]))
        for _ in range(50):
            said = outcome(decoder.process_buffer)
            found.append(said)
            if said.kind == "raised" or said.value == (type(None), None):
                break
            assert type(said.value[1][0][1]) is Opcode
        found.append(state_of(decoder))
    return found


def state_of(decoder: FrameDecoder) -> Any:
    held = [bytes(decoder.buffer.buffer), decoder.buffer.bytes_used, decoder.header]
    if decoder.header is not None:
        key = getattr(decoder.masker, "_masking_key", None)
        held += [decoder.effective_opcode, type(decoder.masker), key]
        held += [decoder.payload_required, decoder.payload_consumed]
    return typed(held)


def check(*streams: bytes, cuts: Any = CUTS, **options: Any) -> None:
    """The same with the speedups as without, in pieces of any size."""
    each = list(itertools.product(streams, cuts))
    plain = [decoded(stream, cut, **options) for stream, cut in each]
    with speedups.installed("wsproto", strict=True):
        ours = [decoded(stream, cut, **options) for stream, cut in each]
    assert ours == plain


@pytest.mark.parametrize("client", [True, False])
def test_frames_of_every_length(client: bool) -> None:
    key = None if client else KEY
    streams = [
        b"".join(
            frame_bytes(opcode, bytes(range(size % 256)), fin=fin, masking_key=key)
            for opcode, fin in ((1, True), (2, False), (0, True))
        )
        for size in (0, 1, 2, 3, 4, 5, 31, 124, 125, 126, 127, 255)
    ]
    check(*streams, client=client)


@pytest.mark.parametrize("size", [65535, 65536, 200_000])
def test_long_frames(size: int) -> None:
    stream = frame_bytes(2, bytes(range(250)) * (size // 250) + bytes(size % 250), masking_key=KEY)
    check(stream * 2, cuts=[1460, 16384, 65536, 10**6])


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_type_of_input(kind: Any) -> None:
    check(frame_bytes(1, b"hello", masking_key=KEY) * 3, kind=kind)


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("opcode", range(16))
def test_every_opcode(opcode: int, client: bool) -> None:
    streams = [
        frame_bytes(opcode, b"ab", fin=fin, masking_key=key) * 2
        for fin, key in itertools.product((True, False), (KEY, None))
    ]
    check(*streams, client=client)


@pytest.mark.parametrize("opcode", [1, 9])
def test_every_rsv(opcode: int) -> None:
    check(*(frame_bytes(opcode, b"ab", rsv=rsv, masking_key=KEY) for rsv in range(8)))


@pytest.mark.parametrize(("size", "form"), [(0, 16), (125, 16), (126, 64), (65535, 64)])
def test_lengths_that_are_not_minimal(size: int, form: int) -> None:
    cuts = [1, 7, 10**6] if size < 1000 else [4096, 10**6]
    check(frame_bytes(2, bytes(size), length_form=form, masking_key=KEY), cuts=cuts)


@pytest.mark.parametrize("head", [b"\x82\xff\x80" + bytes(7), b"\x82\xff\x7f" + b"\xff" * 7])
def test_lengths_of_64_bits(head: bytes) -> None:
    check(head + KEY + b"payload")


@pytest.mark.parametrize("size", [125, 126, 65536])
@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_control_frames_are_short_and_come_whole(opcode: int, size: int) -> None:
    cuts = CUTS if size < 1000 else [4096, 10**6]
    check(frame_bytes(opcode, bytes(size), masking_key=KEY) * 2, cuts=cuts)


def test_many_frames_in_a_read_and_one_over_its_end() -> None:
    stream = b"".join(
        frame_bytes(9 if number % 3 else 2, bytes([number]) * number, masking_key=KEY)
        for number in range(100)
    )
    check(stream, cuts=[13, 100, 1000, len(stream) - 5, len(stream)])


def test_a_decoder_goes_on_after_an_error() -> None:
    good = frame_bytes(2, b"good", masking_key=KEY)
    check(good + frame_bytes(3, b"bad", masking_key=KEY) + good)
    check(good + frame_bytes(2, b"unmasked") + good)


# --- extensions --------------------------------------------------------------------------------


class Noting(Extension):
    """Notes what it is asked, and turns payloads around."""

    name = "noting"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[Any] = []

    def note(self, proto: Any, hook: str, *arguments: Any) -> Any:
        self.asked.append((hook, typed(list(arguments)), state_of(proto)))
        answer = self.answers.get(hook, "usual")
        return answer(*arguments) if callable(answer) else answer

    def offer(self) -> bool:
        return True

    def enabled(self) -> bool:
        return True

    def frame_inbound_header(self, proto: Any, opcode: Any, rsv: Any, size: int) -> Any:
        answer = self.note(proto, "header", opcode, rsv, size)
        return RsvBits(True, False, False) if answer == "usual" else answer

    def frame_inbound_payload_data(self, proto: Any, data: Any) -> Any:
        answer = self.note(proto, "data", data)
        return data[::-1] if answer == "usual" else answer

    def frame_inbound_complete(self, proto: Any, fin: bool) -> Any:
        answer = self.note(proto, "complete", fin)
        return b"!" if answer == "usual" else answer


FRAMES = b"".join(
    [
        frame_bytes(1, b"first", fin=False, rsv=4, masking_key=KEY),
        frame_bytes(9, b"ping", masking_key=KEY),
        frame_bytes(0, b"", masking_key=KEY),
        frame_bytes(2, bytes(200), masking_key=KEY),
        frame_bytes(2, b"two bits", rsv=6, masking_key=KEY),
        frame_bytes(2, b"after", masking_key=KEY),
    ]
)


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"header": (True, True, True)},
        {"header": [0, 0, 0]},
        {"header": (True, True, True, True)},
        {"header": iter(())},
        {"header": None},
        {"header": CloseReason.POLICY_VIOLATION},
        {"data": bytearray},
        {"data": memoryview},
        {"data": lambda data: CloseReason.MESSAGE_TOO_BIG if len(data) > 4 else data},
        {"data": "text"},
        {"complete": None},
        {"complete": bytearray(b"more")},
        {"complete": "text"},
        {"complete": CloseReason.MESSAGE_TOO_BIG},
    ],
    ids=shown,
)
@pytest.mark.parametrize("count", [1, 2])
def test_hooks_are_called_as_by_the_original(answers: dict[str, Any], count: int) -> None:
    made: list[list[Noting]] = []

    def extensions() -> list[Noting]:
        made.append([Noting(**answers) for _ in range(count)])
        return made[-1]

    check(FRAMES, extensions=extensions)
    asked = [[each.asked for each in side] for side in made]
    assert asked[: len(CUTS)] == asked[len(CUTS) :]


def test_an_error_in_a_hook_is_passed_on() -> None:
    def fail(*_: Any) -> Any:
        raise LookupError("mine")

    for hook in ("header", "data", "complete"):
        check(FRAMES, extensions=lambda hook=hook: [Noting(**{hook: fail})])


def deflated(*payloads: bytes, bits: int = 15) -> list[bytes]:
    packer = zlib.compressobj(wbits=-bits)
    return [(packer.compress(each) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4] for each in payloads]


def negotiated(**options: Any) -> Any:
    def made() -> list[Any]:
        deflate: Any = PerMessageDeflate(**options)
        deflate.finalize("permessage-deflate")
        return [deflate]

    return made


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("takeover", [True, False])
def test_deflated_messages(client: bool, takeover: bool) -> None:
    key = None if client else KEY
    texts = [b"hello " * 30, b"", b"x", bytes(3000), b"hello " * 3]
    packed = deflated(*texts) if takeover else [deflated(each)[0] for each in texts]
    stream = b"".join(
        frame_bytes(1 + number % 2, each, rsv=4, masking_key=key)
        + frame_bytes(9, b"are you there", masking_key=key)
        + frame_bytes(1, b"as it is", masking_key=key)
        for number, each in enumerate(packed)
    )
    options = {
        "client_no_context_takeover": not takeover,
        "server_no_context_takeover": not takeover,
    }
    check(stream, client=client, extensions=negotiated(**options))


def test_a_deflated_message_in_fragments() -> None:
    (packed,) = deflated(b"some text or other " * 10)
    stream = b"".join(
        [
            frame_bytes(1, packed[:5], fin=False, rsv=4, masking_key=KEY),
            frame_bytes(0, packed[5:9], fin=False, masking_key=KEY),
            frame_bytes(0, packed[9:], masking_key=KEY),
        ]
    )
    check(stream * 2, extensions=negotiated(client_no_context_takeover=True))


@pytest.mark.parametrize(
    "stream",
    [
        frame_bytes(1, b"\xff\xff\xff\xff no deflate", rsv=4, masking_key=KEY),
        frame_bytes(1, deflated(b"cut short" * 30)[0][:9], rsv=4, masking_key=KEY),
        frame_bytes(9, b"", rsv=4, masking_key=KEY),
        frame_bytes(1, b"", rsv=2, masking_key=KEY),
        frame_bytes(1, b"", rsv=5, masking_key=KEY),
        frame_bytes(1, b"", fin=False, masking_key=KEY)
        + frame_bytes(0, b"", rsv=4, masking_key=KEY),
        frame_bytes(1, b"unmasked", rsv=4),
    ],
)
def test_what_cannot_be_inflated(stream: bytes) -> None:
    good = frame_bytes(1, deflated(b"good")[0], rsv=4, masking_key=KEY)
    options = {"client_no_context_takeover": True}
    check(good + stream + good, extensions=negotiated(**options))


def test_a_refusal_carries_the_code_of_the_extension() -> None:
    with speedups.installed("wsproto", strict=True):
        decoder = FrameDecoder(False, negotiated()())
        good = frame_bytes(1, deflated(b"good")[0], rsv=4, masking_key=KEY)
        bad = frame_bytes(1, b"\xff\xff\xff\xff no deflate", rsv=4, masking_key=KEY)
        decoder.receive_bytes(good + bad)
        assert decoder.process_buffer().payload == b"good"
        with pytest.raises(ParseFailed, match="error in extension") as caught:
            decoder.process_buffer()
        assert caught.value.code is CloseReason.INVALID_FRAME_PAYLOAD_DATA


def test_a_masker_of_somebody_else_is_asked() -> None:
    class Doubling:
        def process(self, data: Any) -> bytearray:
            return bytearray(data + data)

    def run() -> Any:
        decoder = FrameDecoder(False)
        decoder.receive_bytes(frame_bytes(2, bytes(10), masking_key=KEY)[:8])
        decoder.process_buffer()
        decoder.masker = Doubling()
        decoder.receive_bytes(bytes(5))
        return outcome(decoder.process_buffer)

    plain = run()
    with speedups.installed("wsproto", strict=True):
        assert run() == plain
