"""Random streams, valid and broken, cut at random: the receiver agrees with the slow reference."""

from __future__ import annotations

import pytest

from reference_protocol import ReferenceReceiver
from wire import connection, frame, frames_in
from wsfast.events import Closed
from wsfast.rfc6455 import Role

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies

LIMITS = {"max_message_bytes": 200, "max_fragments": 4}

roles = st.sampled_from(list(Role))
cuts = st.lists(st.integers(0, 1500), max_size=12)
payloads = st.text(max_size=40).filter(str.isprintable).map(str.encode) | st.binary(max_size=150)
messages = st.tuples(st.sampled_from([1, 2]), payloads, st.lists(st.integers(0, 150), max_size=4))
controls = st.tuples(st.sampled_from([9, 10]), st.binary(max_size=125))
close_payloads = st.just(b"") | st.tuples(
    st.sampled_from(
        [1000, 1001, 1002, 1005, 1006, 1011, 1014, 1015, 1016, 2999, 3000, 4999, 5000]
    ),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
).map(lambda pair: pair[0].to_bytes(2, "big") + pair[1])


@st.composite
def valid_frames(draw):
    """Messages in up to five fragments, control frames between them, perhaps a Close."""
    found = []
    for opcode, payload, ends in draw(st.lists(messages, max_size=5)):
        ends = sorted(min(end, len(payload)) for end in ends)
        for index, (start, end) in enumerate(zip([0, *ends], [*ends, len(payload)], strict=True)):
            if draw(st.booleans()):
                kind, data = draw(controls)
                found.append((kind, True, data))
            found.append((0 if index else opcode, index == len(ends), payload[start:end]))
    if draw(st.booleans()):
        found.append((8, True, draw(close_payloads)))
        found.append((1, True, b"after the Close"))
    return found


def stream_of(frames, role, draw_key):
    """The frames as the peer of that role sends them."""
    masked = role is Role.SERVER
    return b"".join(
        frame(opcode, data, fin=fin, key=draw_key() if masked else None)
        for opcode, fin, data in frames
    )


def fed(receiver, data, cuts):
    """The events of the data, cut at those offsets."""
    events, start = [], 0
    for end in [*sorted(cuts), len(data)]:
        events += receiver.receive(data[start:end])
        start = max(start, min(end, len(data)))
    return events


def comparable(events):
    """A failure's reason is our own wording: only the peer's Close keeps it."""
    return [
        Closed(event.close_code, "") if isinstance(event, Closed) else (type(event), event)
        for event in events
    ]


def agree(role, data, cuts, limits):
    """Same events, same answers; whole, cut, and byte by byte."""
    reference = ReferenceReceiver(role, **limits)
    expected = comparable(reference.feed(data))
    for each in (cuts, [], range(len(data))):
        receiver, _ = connection(role, **limits)
        assert comparable(fed(receiver, data, each)) == expected
        sent = [
            (opcode, payload[: 2 if opcode == 8 else None])
            for opcode, _, _, payload in frames_in(receiver.data_to_send())
        ]
        assert sent == reference.answers
        assert receiver.close_received == (reference.close_code is not None)


def agree_at_each_offset(role, data, limits):
    """Byte by byte, every event comes at the very byte of the reference."""
    reference = ReferenceReceiver(role, **limits)
    receiver, _ = connection(role, **limits)
    for at in range(len(data)):
        byte = data[at : at + 1]
        assert comparable(receiver.receive(byte)) == comparable(reference.feed(byte)), at


@hypothesis.given(roles, valid_frames(), cuts, st.data())
def test_valid_streams_agree_with_the_reference(role, frames, cuts, data):
    stream = stream_of(frames, role, lambda: data.draw(st.binary(min_size=4, max_size=4)))
    agree(role, stream, cuts, {})
    agree(role, stream, cuts, LIMITS)
    agree_at_each_offset(role, stream, {})


@st.composite
def any_frame(draw):
    """A frame with whatever in its header: mostly right, so that the stream goes on."""
    payload = draw(payloads)
    options = {
        "fin": draw(st.sampled_from([True, True, False])),
        "rsv": draw(st.sampled_from([0] * 12 + [1, 2, 4, 7])),
        "form": draw(st.sampled_from([None] * 9 + [16, 64])),
        "length": draw(
            st.sampled_from([None] * 9 + [126, 65535, 65536, 2**31, 2**63 - 1, 2**63, 2**64 - 14])
        ),
    }
    if options["length"] not in (None, 126) and options["form"] == 16:
        options["form"] = None
    return draw(st.sampled_from([0, 0, 1, 2, 9, 10, 1, 8, 3, 11])), payload, options


@hypothesis.given(
    roles, st.lists(any_frame(), max_size=8), cuts, st.binary(min_size=4, max_size=4)
)
def test_streams_of_any_frames_agree_with_the_reference(role, frames, cuts, key):
    mask = key if role is Role.SERVER else None
    stream = b"".join(frame(opcode, data, key=mask, **more) for opcode, data, more in frames)
    agree(role, stream, cuts, LIMITS)
    agree_at_each_offset(role, stream, LIMITS)


@hypothesis.given(
    roles,
    valid_frames(),
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), min_size=1, max_size=4),
    cuts,
)
def test_streams_with_flipped_bits_agree_with_the_reference(role, frames, flips, cuts):
    stream = bytearray(stream_of(frames, role, lambda: b"\x11\x22\x33\x44"))
    for at, value in flips:
        if stream:
            stream[at % len(stream)] ^= value
    agree(role, bytes(stream), cuts, LIMITS)


@hypothesis.given(roles, st.binary(max_size=300), cuts)
def test_any_bytes_agree_with_the_reference(role, stream, cuts):
    agree(role, stream, cuts, LIMITS)
