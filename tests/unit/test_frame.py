"""Frame headers: every form of the length, every cut, both ways; and the masking keys."""

from __future__ import annotations

import array
import itertools
import os
import threading

import pytest

from wire import KEY, frame
from wsfast.connection import Connection
from wsfast.frame import Header, decode_header, encode_header
from wsfast.rfc6455 import Role

LENGTHS = [0, 1, 124, 125, 126, 127, 65535, 65536, 2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**63 - 1]


def header_bytes(length, **options):
    """The header that tests/wire.py writes, without a payload."""
    return frame(2, length=length, **options)


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("length", LENGTHS)
def test_encoding_has_the_shortest_form(length, key):
    assert encode_header(2, length, masking_key=key) == header_bytes(length, key=key)


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("length", LENGTHS)
def test_decoding_needs_every_byte_and_no_more(length, key):
    data = header_bytes(length, key=key)
    for size in range(len(data)):
        assert decode_header(data[:size]) is None
    expected = Header(True, False, False, False, 2, key is not None, length, key or b"", len(data))
    assert decode_header(data) == expected
    assert decode_header(data + b"payload") == expected


@pytest.mark.parametrize(
    ("opcode", "fin", "rsv1", "rsv2", "rsv3"),
    list(itertools.product(range(16), *[[False, True]] * 4)),
)
def test_the_first_byte_both_ways(opcode, fin, rsv1, rsv2, rsv3):
    bits = {"fin": fin, "rsv1": rsv1, "rsv2": rsv2, "rsv3": rsv3}
    data = encode_header(opcode, 5, **bits)
    assert data == frame(opcode, length=5, fin=fin, rsv=rsv1 << 2 | rsv2 << 1 | rsv3)
    header = decode_header(data)
    assert header is not None
    assert {name: getattr(header, name) for name in bits} == bits
    assert header.opcode == opcode


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize(
    ("length", "form"), [(0, 16), (125, 16), (0, 64), (125, 64), (126, 64), (65535, 64)]
)
def test_a_length_that_is_not_minimal_is_refused(length, form, key):
    data = header_bytes(length, form=form, key=key)
    length_ends = 2 + form // 8
    for size in range(length_ends):
        assert decode_header(data[:size]) is None
    for size in range(length_ends, len(data) + 1):
        with pytest.raises(ValueError, match=r"minimal.*5\.2"):
            decode_header(data[:size])


@pytest.mark.parametrize("length", [2**63, 2**63 + 1, 2**64 - 14, 2**64 - 10, 2**64 - 1])
@pytest.mark.parametrize("key", [None, KEY])
def test_the_top_bit_of_a_length_is_refused(length, key):
    data = header_bytes(length, key=key)
    assert decode_header(data[:9]) is None
    for size in range(10, len(data) + 1):
        with pytest.raises(ValueError, match=r"top bit.*5\.2"):
            decode_header(data[:size])


def test_decoding_starts_at_the_offset():
    data = b"xyz" + header_bytes(300, key=KEY)
    assert decode_header(data, 3) == decode_header(data[3:])
    assert decode_header(data, len(data)) is None
    assert decode_header(data, len(data) - 1) is None


@pytest.mark.parametrize("offset", [-1, 12, 2**62, -(2**62)])
def test_an_offset_outside_is_refused(offset):
    with pytest.raises(ValueError, match=f"offset {offset} is outside of the 11 bytes"):
        decode_header(bytes(11), offset)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_any_buffer_is_decoded(kind):
    assert decode_header(kind(header_bytes(70000, key=KEY))) == decode_header(
        header_bytes(70000, key=KEY)
    )


@pytest.mark.parametrize("data", ["\x81\x00", 5, None, [0x81, 0]])
def test_what_is_no_buffer_is_no_header(data):
    with pytest.raises(TypeError):
        decode_header(data)


def test_a_buffer_with_gaps_is_refused():
    with pytest.raises(BufferError):
        decode_header(memoryview(bytes(20))[::2])


def test_decoding_releases_its_buffer():
    data = bytearray(header_bytes(2**63 + 1))
    with pytest.raises(ValueError, match="top bit"):
        decode_header(data)
    data.append(0)  # BufferError while a view is held
    decode_header(bytearray(b"\x81\x00"))


@pytest.mark.parametrize("opcode", [-1, 16, 255, 2**40])
def test_an_opcode_out_of_range_is_refused(opcode):
    with pytest.raises(ValueError, match=f"opcode {opcode} "):
        encode_header(opcode, 0)


@pytest.mark.parametrize("length", [-1, 2**63, 2**64, 2**70])
def test_a_length_out_of_range_is_refused(length):
    with pytest.raises(ValueError, match=f"payload length {length} "):
        encode_header(1, length)


@pytest.mark.parametrize("key", [b"", b"123", b"12345"])
def test_a_masking_key_of_another_size_is_refused(key):
    with pytest.raises(ValueError, match=f"has {len(key)} bytes, not 4"):
        encode_header(1, 0, masking_key=key)


@pytest.mark.parametrize("key", [4, "1234", [1, 2, 3, 4]])
def test_a_masking_key_must_be_bytes_like(key):
    """bytes(4) would be a key of four zeros."""
    with pytest.raises(TypeError):
        encode_header(1, 0, masking_key=key)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_masking_key_may_be_any_buffer(kind):
    assert encode_header(1, 5, masking_key=kind(KEY)) == b"\x81\x85" + KEY


def test_a_key_of_zeros_still_masks():
    header = decode_header(encode_header(1, 0, masking_key=bytes(4)))
    assert header is not None
    assert (header.masked, header.masking_key) == (True, bytes(4))


# --- masking keys of the system's generator (5.3, 10.3) -----------------------------------------


def fresh_keys(count):
    """The keys of that many empty frames of a client."""
    sender = Connection(Role.CLIENT)
    for _ in range(count):
        sender.send(b"")
    data = sender.data_to_send()
    assert len(data) == 6 * count
    return [data[at + 2 : at + 6] for at in range(0, len(data), 6)]


def test_keys_do_not_repeat():
    """Of 20,000 random keys about 0.05 are equal to another one; never more than a few."""
    keys = fresh_keys(20_000)
    assert len(set(keys)) >= len(keys) - 5


def test_keys_use_every_bit():
    """Every bit of the four bytes is set in about half of the keys."""
    keys = [int.from_bytes(key, "big") for key in fresh_keys(4000)]
    for bit in range(32):
        assert 1700 < sum(key >> bit & 1 for key in keys) < 2300


def test_keys_of_two_connections_differ():
    """Once in 17,000 times one of 500 keys is among 500 others; never more than a few."""
    assert len(set(fresh_keys(500)) & set(fresh_keys(500))) < 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_keys_differ_after_a_fork():
    """The child inherits the pool and must not use what is left in it."""
    fresh_keys(3)  # so that there is a pool, partly used
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"".join(fresh_keys(400)))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    theirs = [data[at : at + 4] for at in range(0, len(data), 4)]
    assert len(theirs) == 400 and len(set(theirs)) > 396
    assert len(set(theirs) & set(fresh_keys(400))) < 4


def test_keys_differ_between_threads():
    found: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: found.append(fresh_keys(3000)), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    keys = [key for part in found for key in part]
    assert len(keys) == 12_000
    assert len(set(keys)) >= 12_000 - 3
