"""wsfast.loadgen.template: fields are filled in, the same message is always the same."""

from __future__ import annotations

import datetime
import json
import re
import time
import uuid

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

template = pytest.importorskip("wsfast.loadgen.template")
Template = template.Template

numbers = st.integers(0, 2**32 - 1)


def made(text, sequence=0, number=0, due_ns=0, **options):
    return Template(text, **options).message(sequence, number, due_ns).decode()


def many(text, count=2000, **options):
    found = Template(text, **options)
    return [found.message(sequence, 3).decode() for sequence in range(count)]


@given(numbers, numbers)
def test_numbers(sequence, number):
    text = '{"id": {{seq}}, "c": {{ connection }}, "w": {{worker}}}'
    found = json.loads(made(text, sequence, number, worker=7))
    assert found == {"id": sequence, "c": number, "w": 7}


@pytest.mark.parametrize(
    "text", ["plain", "grüße", "{}", '{"a": {"b": 1}}', "a } } b", "{ {seq} }"]
)
def test_what_has_no_field_is_constant(text):
    found = Template(text)
    assert found.message(1, 2).decode() == text
    assert found.most == found.least == len(text.encode())
    assert not found.timed
    assert not found.numbered


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{seq}}{{seq}}", "55"),
        ("{{seq}}}", "5}"),
        ('{"a":{"b":{{seq}}}}', '{"a":{"b":5}}'),
        ('{{choice "{{"}}x', "{{x"),
        ("é{{seq}}ü", "é5ü"),
        ("{{choice 'two words'}}", "two words"),
        ("{{choice ''}}", ""),
        ("{{\n seq\n}}", "5"),
    ],
)
def test_where_fields_begin_and_end(text, expected):
    assert made(text, 5) == expected


def test_times_are_unix_times():
    before, now = time.time_ns(), time.monotonic_ns()
    ns, us, ms, iso = made("{{time_ns}} {{time_us}} {{time_ms}} {{time_iso}}", due_ns=now).split()
    after = time.time_ns()
    assert before - 50_000_000 < int(ns) < after + 50_000_000
    assert int(us) == int(ns) // 1000
    assert int(ms) == int(ns) // 1_000_000
    parsed = datetime.datetime.fromisoformat(iso.replace("Z", "+00:00"))
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    assert (parsed - epoch) // datetime.timedelta(microseconds=1) == int(us)


@given(st.integers(0, 100 * 365 * 86_400))
def test_dates_are_those_of_the_calendar(seconds):
    due_ns = seconds * 1_000_000_000
    us, iso = made("{{time_us}} {{time_iso}}", due_ns=due_ns).split()
    expected = datetime.datetime.fromtimestamp(int(us) // 10**6, datetime.timezone.utc)
    assert iso == f"{expected:%Y-%m-%dT%H:%M:%S}.{int(us) % 10**6:06d}Z"


def test_a_template_knows_what_it_needs():
    assert Template("{{time_ms}}").timed
    assert Template("{{seq}}").numbered
    assert not Template("{{connection}}{{random_int 1 2}}").numbered


@pytest.mark.parametrize(
    ("low", "high"), [(1, 6), (-3, 3), (0, 0), (-(2**63), 2**63 - 1), (2**62, 2**63 - 1), (-9, -8)]
)
def test_random_numbers_are_within_their_limits(low, high):
    found = [int(text) for text in many(f"{{{{random_int {low} {high}}}}}")]
    assert low <= min(found) <= max(found) <= high
    if high - low < 10:
        assert set(found) == set(range(low, high + 1))
    else:
        assert len(set(found)) > 1990
        assert min(found) < low + (high - low) // 50
        assert max(found) > high - (high - low) // 50


@pytest.mark.parametrize("size", [1, 9, 10, 11, 40, 1000])
def test_random_strings(size):
    found = many(f"{{{{random_string {size}}}}}", 300)
    assert all(re.fullmatch(f"[A-Za-z0-9_-]{{{size}}}", text) for text in found)
    assert len(set("".join(found))) == 64 or size == 1
    hexadecimal = many(f"{{{{random_hex {size}}}}}", 300)
    assert all(re.fullmatch(f"[0-9a-f]{{{size}}}", text) for text in hexadecimal)


def test_uuids_are_of_version_4():
    found = [uuid.UUID(text) for text in many("{{uuid}}", 500)]
    assert {each.version for each in found} == {4}
    assert {each.variant for each in found} == {uuid.RFC_4122}
    assert len(set(found)) == 500


def test_choices_come_about_equally_often():
    found = many("{{choice ann bob 'c d'}}", 3000)
    assert set(found) == {"ann", "bob", "c d"}
    assert all(900 < found.count(word) < 1100 for word in set(found))


def test_the_same_message_is_the_same_and_its_neighbours_differ():
    text = "{{random_hex 16}} {{random_hex 16}}"
    found = Template(text, seed=5)
    message = found.message(7, 9)
    assert message == found.message(7, 9) == Template(text, seed=5).message(7, 9)
    first, second = message.split()
    assert first != second
    others = {found.message(8, 9), found.message(7, 10), Template(text, seed=6).message(7, 9)}
    assert message not in others
    assert len(others) == 3


EVERYTHING = (
    '{"i":{{seq}},"c":{{connection}},"w":{{worker}},"ns":{{time_ns}},"us":{{time_us}},'
    '"ms":{{time_ms}},"at":"{{time_iso}}","n":{{random_int -5 5000}},"s":"{{random_string 3}}",'
    '"h":"{{random_hex 3}}","u":"{{uuid}}","k":"{{choice a bb}}"}'
)


@given(numbers, numbers, st.integers(0, 2**62))
def test_sizes_are_within_what_is_said(sequence, number, due_ns):
    found = Template(EVERYTHING)
    message = found.message(sequence, number, due_ns)
    assert found.least <= len(message) <= found.most
    assert b"".join(found.pieces(sequence, number, due_ns)) == message
    assert len(json.loads(message)) == 12


def test_every_field_is_named_in_the_documentation():
    from pathlib import Path

    page = Path(__file__).parents[2].joinpath("docs", "bench.md").read_text(encoding="utf-8")
    for name, values in template.FIELDS.items():
        assert f"`{{{{{f'{name} {values}'.strip()}}}}}`" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no text"),
        ("{{}}", "no field; known: seq, connection, worker"),
        ("{{sequence}}", r"\{\{sequence\}\} is no field; known: seq"),
        ("{{seq 5}}", r"should be \{\{seq\}\}"),
        ("{{random_int 1}}", r"should be \{\{random_int LOW HIGH\}\}"),
        ("{{random_int a b}}", "LOW HIGH"),
        ("{{random_int 2 1}}", "LOW <= HIGH"),
        ("{{random_int 0 9223372036854775808}}", "64 bits"),
        ("{{random_string}}", "LENGTH"),
        ("{{random_string 0}}", "not in 1.."),
        ("{{random_hex 16777217}}", "not in 1.."),
        ("{{choice}}", "WORD"),
        ("{{choice 'a}}", "No closing quotation"),
        ('{"a": {{seq', "has no end"),
        ("{{seq}} {{seq", "has no end"),
    ],
)
def test_what_is_no_template(text, message):
    with pytest.raises(ValueError, match=message):
        Template(text)


def test_a_template_is_text():
    with pytest.raises(TypeError):
        Template(b"{{seq}}")
