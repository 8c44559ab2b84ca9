"""wsfast.loadgen.payload: no two messages are alike, and nothing but the echo matches."""

from __future__ import annotations

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

from wsfast.rfc6455 import Opcode

payload = pytest.importorskip("wsfast.loadgen.payload")
Payload = payload.Payload

CONTENT = bytes(range(0x21, 0x7F)) * 4
SIZES = [1, 2, 4, 7, 8, 9, 16, 125, 300]
numbers = st.integers(0, 2**32 - 1)


def payload_of(size, text=False):
    return Payload(CONTENT[:size], text=text)


@given(numbers, numbers)
def test_the_binary_stamp(sequence, number):
    message = payload_of(20).message_bytes(sequence, number)
    assert message[:4] == sequence.to_bytes(4, "little")
    assert message[4:8] == number.to_bytes(4, "little")
    assert message[8:] == CONTENT[8:20]


@given(numbers, st.integers(0, 2**24 - 1))
def test_the_text_stamp_is_printable_ascii(sequence, number):
    message = payload_of(20, text=True).message_bytes(sequence, number)
    assert message.decode("ascii").isprintable()
    stamp = sum((byte - 0x30) << (6 * place) for place, byte in enumerate(message[:8]))
    assert (stamp & 0xFFFFFF, stamp >> 24) == (sequence & 0xFFFFFF, number)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_an_echo_matches_and_a_changed_byte_does_not(size, text):
    content = payload_of(size, text)
    sent = content.message_bytes(70_000, 3)
    assert len(sent) == size
    assert content.matches(sent, 70_000, 3)
    for place in range(size):
        changed = bytearray(sent)
        changed[place] ^= 1
        assert not content.matches(bytes(changed), 70_000, 3)
    assert not content.matches(sent[:-1], 70_000, 3)
    assert not content.matches(sent + b"x", 70_000, 3)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_neighbours_differ(size, text):
    content = payload_of(size, text)
    sent = content.message_bytes(41, 5)
    assert not content.matches(sent, 42, 5)
    if size >= 8:
        assert not content.matches(sent, 41, 6)


def test_an_empty_payload_matches_itself_only():
    empty = Payload(b"")
    assert empty.message_bytes(1, 2) == b""
    assert empty.matches(b"", 3, 4)
    assert not empty.matches(b"x", 3, 4)


def test_the_opcode():
    assert payload_of(3).opcode == Opcode.BINARY
    assert payload_of(3, text=True).opcode == Opcode.TEXT


def test_text_must_be_ascii():
    with pytest.raises(ValueError, match="ASCII"):
        Payload("é".encode(), text=True)
    assert Payload("é".encode()).size == 2


@pytest.mark.parametrize("content", [None, "text", bytearray(b"abc")])
def test_content_must_be_bytes(content):
    with pytest.raises(TypeError):
        Payload(content)


@pytest.mark.parametrize("text", [False, True])
def test_sizes_that_vary_are_those_of_the_stamp(text):
    """Evenly distributed, the same for the same message, and checked as such."""
    found = payload.Payload(b"x" * 300, text=text, least=100)
    sizes = [len(found.message_bytes(sequence, 3)) for sequence in range(5000)]
    assert (min(sizes), max(sizes)) == (100, 300)
    assert abs(sum(sizes) / len(sizes) - 200) < 5
    assert sizes[:100] == [len(found.message_bytes(sequence, 3)) for sequence in range(100)]
    assert sizes[:100] != [len(found.message_bytes(sequence, 4)) for sequence in range(100)]
    for sequence in range(100):
        message = found.message_bytes(sequence, 3)
        assert found.matches(message, sequence, 3)
        assert not found.matches(message[:-1], sequence, 3)
        assert not found.matches(message + b"x", sequence, 3)


def test_exponential_sizes():
    found = payload.Payload(bytes(1600), mean=100.0)
    sizes = [len(found.message_bytes(sequence, 0)) for sequence in range(20_000)]
    assert abs(sum(sizes) / len(sizes) - 100) < 4
    assert max(sizes) <= 1600
    assert abs(sum(size > 200 for size in sizes) / len(sizes) - 0.135) < 0.01


@pytest.mark.parametrize(
    ("verify", "shorter", "changed"),
    [("none", True, True), ("length", False, True), ("full", False, False)],
)
def test_how_much_is_verified(verify, shorter, changed):
    found = payload.Payload(bytes(20), verify=verify)
    message = found.message_bytes(1, 2)
    assert found.matches(message, 1, 2)
    assert found.matches(message[:-1], 1, 2) is shorter
    assert found.matches(message[:-1] + b"y", 1, 2) is changed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"least": 21}, "smallest size 21"),
        ({"least": -1}, "smallest size -1"),
        ({"mean": 0.0}, "mean size 0"),
        ({"mean": 21.0}, "mean size 21"),
        ({"verify": "some"}, "'some'"),
    ],
)
def test_what_no_payload_can_be(options, message):
    with pytest.raises(ValueError, match=message):
        payload.Payload(bytes(20), **options)


def test_a_content_of_the_user_is_sent_as_it_is():
    content = "grüße".encode()
    found = payload.Payload(content, text=True, stamped=False)
    assert found.message_bytes(5, 7) == found.message_bytes(0, 0) == content
    assert found.matches(content, 1, 2)
    assert not found.matches(content[:-1] + b"x", 1, 2)
    assert not found.matches(content + b"x", 1, 2)
    assert payload.Payload(b"", stamped=False).matches(b"", 0, 0)


TEMPLATE = '{"id": {{seq}}, "at": {{time_ns}}, "w": "{{choice a bb}}"}'


def test_a_template_writes_the_messages():
    from wsfast.loadgen.template import Template

    written = Template(TEMPLATE)
    found = payload.Payload(b"", template=written)
    assert found.opcode == Opcode.TEXT
    assert found.size == written.most
    for sequence in range(200):
        message = found.message_bytes(sequence, 3, 10**9)
        assert message == written.message(sequence, 3, 10**9)
        assert found.matches(message, sequence, 3, 10**9)
        assert not found.matches(message, sequence + 1, 3, 10**9)
        assert not found.matches(message, sequence, 3, 10**9 + 1)
        assert not found.matches(message[:-1], sequence, 3, 10**9)
        assert not found.matches(message + b" ", sequence, 3, 10**9)
        assert not found.matches(message[:-1] + b" ", sequence, 3, 10**9)


@pytest.mark.parametrize(
    ("verify", "shorter", "changed"), [("none", True, True), ("length", False, True)]
)
def test_how_much_of_a_template_is_verified(verify, shorter, changed):
    from wsfast.loadgen.template import Template

    found = payload.Payload(b"", verify=verify, template=Template(TEMPLATE))
    message = found.message_bytes(1, 2, 10**9)
    assert found.matches(message, 1, 2, 10**9)
    assert found.matches(message[:-1], 1, 2, 10**9) is shorter
    assert found.matches(message[:-1] + b" ", 1, 2, 10**9) is changed


def test_the_size_of_a_stamp():
    assert payload.STAMP_SIZE == 8
