"""wsfast.loadgen.units: amounts as people write them."""

from __future__ import annotations

import pytest

from wsfast.loadgen import units


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("500", 500), ("10k", 10_000), ("1.5m", 1_500_000), (" 2 G ", 2 * 10**9)],
)
def test_counts(text, count):
    assert units.parse_count(text) == count


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("20b", 20),
        ("16k", 16384),
        ("16KiB", 16384),
        ("16kb", 16000),
        ("1m", 2**20),
        ("0.5MiB", 2**19),
        ("1mb", 10**6),
    ],
)
def test_sizes(text, size):
    assert units.parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("2s", 2.0), ("500ms", 0.5), ("250us", 0.00025), ("5m", 300.0), ("1.5h", 5400.0)],
)
def test_durations(text, seconds):
    assert units.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("parse", [units.parse_count, units.parse_bytes, units.parse_duration])
@pytest.mark.parametrize("text", ["", "k", "-1", "1 000", "1e3", "0x10", "٣", "1k1", "nan"])
def test_what_is_no_amount(parse, text):
    with pytest.raises(ValueError, match="is no amount"):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (units.parse_count, "1s", "no unit of a count; known: g, k, m"),
        (units.parse_bytes, "1g", "no unit of bytes"),
        (units.parse_duration, "1k", "no unit of time; known: us, ms, s, m, min, h"),
        (units.parse_count, "1.5", "no whole number of a count"),
        (units.parse_bytes, "0.3k", "no whole number of bytes"),
        (units.parse_duration, "0s", "longer than zero"),
    ],
)
def test_messages_name_the_rule(parse, text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (950, "950 ns"),
        (999.6, "1.00 us"),
        (12_345, "12.3 us"),
        (999_600, "1.00 ms"),
        (123_456_789, "123 ms"),
        (3e9, "3.00 s"),
        (4e12, "4000 s"),
    ],
)
def test_durations_for_people(ns, text):
    assert units.format_duration(ns) == text


def test_sizes_and_counts_for_people():
    assert [units.format_bytes(size) for size in (20, 1023, 1024, 3 * 2**19)] == [
        "20 B",
        "1023 B",
        "1 KiB",
        "1.5 MiB",
    ]
    assert units.format_count(1234567.4) == "1,234,567"


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("512", (512, None, None)),
        ("20-2k", (2048, 20, None)),
        ("0-0", (0, 0, None)),
        ("exp:100", (1600, None, 100.0)),
    ],
)
def test_sizes_of_messages(text, sizes):
    assert units.parse_sizes(text) == sizes


@pytest.mark.parametrize(
    ("text", "message"),
    [("30-20", "empty range"), ("exp:0", "1 byte or more"), ("20-", "no amount"), ("exp:", "no")],
)
def test_what_are_no_sizes(text, message):
    with pytest.raises(ValueError, match=message):
        units.parse_sizes(text)


def test_stages():
    assert units.parse_stages("30s:1k,2m:10k,1h:0") == ((30.0, 1e3), (120.0, 1e4), (3600.0, 0.0))


@pytest.mark.parametrize("text", ["30s", "30s:", ":5", "0s:5", "1s:1s", "1s:5,", ""])
def test_what_are_no_stages(text):
    with pytest.raises(ValueError):
        units.parse_stages(text)
