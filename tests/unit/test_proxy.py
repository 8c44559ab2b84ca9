"""wsfast.proxy: the PROXY header of both versions, whole and cut."""

from __future__ import annotations

import random
import struct

import pytest

from wire import pieces
from wsfast.proxy import ProxyFault, ProxyHeader, ProxyReader, crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
INET = bytes([1, 2, 3, 4, 10, 0, 0, 1]) + struct.pack(">HH", 5678, 443)
INET6 = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01" + bytes(15) + b"\x01" + struct.pack(">HH", 1, 2)
CLIENT = ProxyHeader(("1.2.3.4", 5678), ("10.0.0.1", 443))
CLIENT6 = ProxyHeader(("2001:db8::1", 1), ("::1", 2))


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def header(body=INET, *, first=0x21, second=0x11, length=None):
    size = len(body) if length is None else length
    return SIGNATURE + bytes([first, second]) + struct.pack(">H", size) + body


def checked(body=INET, **options):
    """With a TLV that holds the checksum, and another behind it."""
    body += tlv(0x03, bytes(4)) + tlv(0x04, b"padding")
    raw = header(body, **options)
    at = raw.index(tlv(0x03, bytes(4))) + 3
    return raw[:at] + crc32c(raw) + raw[at + 4 :]


def read(raw, step=0, **options):
    """The result of feeding it, and what is trailing; before its end there is no result."""
    reader = ProxyReader(**options)
    result = None
    for piece in pieces(raw, step) if step else [raw]:
        result = reader.receive(piece)
    return result, reader.trailing


def fault(raw, **options):
    result, trailing = read(raw, **options)
    assert isinstance(result, ProxyFault), result
    assert trailing == b""
    for step in (1, 2, 3, 7):
        assert isinstance(read(raw, step, **options)[0], ProxyFault)
    return result.reason


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (header(), CLIENT),
        (header(INET6, second=0x21), CLIENT6),
        (header(b"", first=0x20, second=0x00), ProxyHeader(is_local=True)),
        (header(INET, first=0x20), ProxyHeader(is_local=True)),
        (header(b"xyz", first=0x20), ProxyHeader(is_local=True)),
        (header(b"", second=0x00), ProxyHeader()),
        (header(b"anything", second=0x00), ProxyHeader()),
        (header(b"/run/a".ljust(108, b"\0") * 2, second=0x31), ProxyHeader()),
        (header(INET, second=0x12), ProxyHeader()),
        (header(INET, second=0x10), ProxyHeader()),
        (header(INET + tlv(0x01, b"h2") + tlv(0x20, b"") + tlv(0xE0, bytes(99))), CLIENT),
        (checked(), CLIENT),
        (checked(INET6, second=0x21), CLIENT6),
        (b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n", CLIENT),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", CLIENT6),
        (b"PROXY UNKNOWN\r\n", ProxyHeader()),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", ProxyHeader()),
    ],
)
def test_a_header(raw, expected, step):
    assert read(raw, step) == (expected, b"")
    assert read(raw + b"GET / HTTP/1.1\r\n", step) == (expected, b"GET / HTTP/1.1\r\n")
    for cut in range(len(raw)):
        assert read(raw[:cut], step or 5) == (None, b""), cut


def test_the_longest_line_of_version_1():
    long = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    line = b"PROXY UNKNOWN %s %s 65535 65535\r\n" % (long, long)
    assert len(line) == 107
    assert read(line) == (ProxyHeader(), b"")
    assert "107" in fault(line.replace(b"UNKNOWN", b"UNKNOWN "))


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PROXX",
        b"PROXY\r\n",
        b"\r\nGET / HTTP/1.1",
        b"\r\n\r\n\0\r\nQUIT\r",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5678\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443 \r\n",
        b"PROXY TCP4  1.2.3.4 10.0.0.1 5678 443\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 05678 443\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 65536 443\r\n",
        b"PROXY TCP4 1.2.3.256 10.0.0.1 1 443\r\n",
        b"PROXY TCP4 ::1 ::1 1 443\r\n",
        b"PROXY TCP6 1.2.3.4 10.0.0.1 1 443\r\n",
        b"PROXY UDP4 1.2.3.4 10.0.0.1 1 443\r\n",
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
        b"PROXY " + b"\0" * 101 + b"\r\n",
        header(first=0x11),
        header(first=0x31),
        header(first=0x22),
        header(second=0x41),
        header(second=0x13),
        header(INET[:-1]),
        header(INET, second=0x21),
        header(b"/run/a", second=0x31),
        header(INET + b"\x01"),
        header(INET + b"\x01\x00"),
        header(INET + b"\x01\x00\x02h"),
        header(INET + b"\x01\xff\xff"),
        header(length=0xFFFF),
        header(INET + tlv(0x03, b"\0\0\0\0")),
        header(INET + tlv(0x03, b"")),
        header(INET + tlv(0x03, bytes(5))),
    ],
    ids=repr,
)
def test_what_is_malformed_is_a_fault(raw):
    assert "proxy-protocol.txt" in fault(raw)


def test_each_bit_is_covered_by_the_checksum():
    raw = checked()
    for at in range(len(raw)):
        for bit in range(8):
            changed = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
            result, _ = read(changed)
            # LOCAL ignores all, UNSPEC cannot find the TLVs, another type is no checksum; a
            # longer header is not there yet.
            if result is not None and not isinstance(result, ProxyFault):
                assert at in (12, 13) or raw[at] == 0x03


def test_crc32c_of_rfc_3720():
    assert crc32c(bytes(32)).hex() == "8a9136aa"
    assert crc32c(b"\xff" * 32).hex() == "62a8ab43"
    assert crc32c(bytes(range(32))).hex() == "46dd794e"
    assert crc32c(b"123456789").hex() == "e3069283"


def test_limits():
    assert isinstance(read(header(INET + bytes(3 * 700)))[0], ProxyFault)
    assert "exceed 2048" in fault(header(b"", length=2033))
    assert read(header(b"", length=2032)) == (None, b"")
    long = header(INET + tlv(0xE0, bytes(60000)))
    assert read(long, max_bytes=65551) == (CLIENT, b"")
    with pytest.raises(ValueError, match="max_bytes is 231"):
        ProxyReader(max_bytes=231)


def test_a_result_stays():
    reader = ProxyReader()
    first = reader.receive(header() + b"a")
    assert reader.receive(b"b") is first
    assert reader.trailing == b"ab"
    reader = ProxyReader()
    assert reader.trailing == b""
    first = reader.receive(b"GET ")
    assert reader.receive(header()) is first


def test_fuzz():
    """Mutated headers: no exception, the same result however cut, and most are refused."""
    choose = random.Random(2)
    seeds = [header(), checked(), header(INET6, second=0x21), header(b"", first=0x20)]
    seeds += [b"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n", b"PROXY UNKNOWN\r\n"]
    kinds = {ProxyFault: 0, ProxyHeader: 0, type(None): 0}
    for _ in range(4000):
        raw = bytearray(choose.choice(seeds) + b"GET /")
        for _ in range(choose.randrange(1, 4)):
            at = choose.randrange(len(raw))
            change = choose.randrange(3)
            raw[at : at + (change > 0)] = choose.randbytes(choose.randrange(3) if change else 1)
            raw = raw or bytearray(b"\r")
        whole, trailing = read(bytes(raw))
        kinds[type(whole)] += 1
        for step in (1, 3):
            result, rest = read(bytes(raw), step)
            assert type(result) is type(whole)
            if isinstance(whole, ProxyHeader):
                assert (result, rest) == (whole, trailing)
    assert min(kinds.values()) > 50, kinds
