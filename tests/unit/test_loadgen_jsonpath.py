"""wsfast.loadgen.jsonpath: what json.loads finds, and nothing outside of the text."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

jsonpath = pytest.importorskip("wsfast.loadgen.jsonpath")
JsonPath = jsonpath.JsonPath

NAMES = ["a", "b", "id", "0", "1", "ä", "x.y", 'q"', "\\", "\U0001f600", "", "tab\t"]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["17", "a,b", "}", "]", '{"id":1}', '\\"']),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def escaped(name):
    return name.replace("\\", "\\\\").replace(".", "\\.")


def paths_of(value):
    """Every path into a value, as a list of steps, with what is there."""
    if isinstance(value, dict):
        inner = [(name, each) for name, each in value.items() if name]
    elif isinstance(value, list):
        inner = [(str(index), each) for index, each in enumerate(value)]
    else:
        inner = []
    for step, each in inner:
        yield [step], each
        yield from (([step, *steps], found) for steps, found in paths_of(each))


def number_of(value):
    """What `number_in` should make of a value."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**64 else None


@settings(max_examples=400, deadline=None)
@given(values, st.sampled_from([None, 1, "\t"]), st.booleans(), st.booleans())
def test_every_value_is_found(value, indent, ascii_only, spaced):
    separators = (" ,\r\n", " : ") if spaced else None
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, separators=separators)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a lone surrogate is no UTF-8
        return
    for steps, found in paths_of(value):
        try:
            path = JsonPath(".".join(map(escaped, steps)))
        except UnicodeEncodeError:
            continue
        assert json.loads(path.value_in(encoded)) == found
        assert path.number_in(encoded) == number_of(found)


@settings(max_examples=300, deadline=None)
@given(values, st.lists(st.sampled_from([*NAMES[:5], "7"]), min_size=1, max_size=4))
def test_what_is_not_there_is_not_found(value, steps):
    found = value
    for step in steps:
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            found = None
            break
    text = json.dumps(value).encode()
    assert JsonPath(".".join(steps)).number_in(text) == number_of(found)


@settings(max_examples=300, deadline=None)
@given(values, st.data())
def test_a_cut_or_damaged_text_is_survived(value, data):
    """It may find anything, within the bounds: under the sanitizers this is a proof."""
    text = json.dumps({"a": [value], "id": value}).encode()
    cut = text[: data.draw(st.integers(0, len(text)))]
    damaged = bytearray(text)
    damaged[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    for path in map(JsonPath, ("id", "a.0", "a.1.b", "a.0.id", "ä")):
        for broken in (cut, bytes(damaged)):
            found = path.value_in(broken)
            assert found is None or found in broken


@given(st.binary(max_size=60))
def test_anything_is_survived(text):
    for path in map(JsonPath, ("id", "0", "a.0.b")):
        found = path.value_in(text)
        assert found is None or found in text


@pytest.mark.parametrize(
    ("path", "text", "number"),
    [
        ("id", '{"id":17}', 17),
        ("id", ' {"x":{"id":1},"id" : 17 } ', 17),
        ("id", '{"x":"\\"id\\":5","id":17}', 17),
        ("id", '{"\\u0069\\u0064":17}', 17),
        ("id", '{"id":"17"}', 17),
        ("id", '{"id":0}', 0),
        ("id", '{"id":18446744073709551615}', 2**64 - 1),
        ("id", '{"id":18446744073709551616}', None),
        ("id", '{"id":-1}', None),
        ("id", '{"id":1.0}', None),
        ("id", '{"id":1e3}', None),
        ("id", '{"id":"17x"}', None),
        ("id", '{"id":""}', None),
        ("id", '{"id":null}', None),
        ("id", '{"idx":17,"i":4}', None),
        ("id", "[17]", None),
        ("id", "17", None),
        ("id", "", None),
        ("id", '{"id":1,"id":2}', 1),
        ("0", "[17,18]", 17),
        ("1", "[17, 18 ]", 18),
        ("2", "[17,18]", None),
        ("0", "[]", None),
        ("0", '{"0":17}', 17),
        ("01", '[1,2,{"01":3}]', None),
        ("data.0.seq", '{"data":[{"seq":17}]}', 17),
        ("data.1.seq", '{"data":[[["seq",1]],{"seq":17}]}', 17),
        ("a\\.b", '{"a":{"b":1},"a.b":17}', 17),
        ("\U0001f600", '{"\\ud83d\\ude00":17}', 17),
        ("€", '{"\\u20ac":17}', 17),
        ("ä", '{"\\u00e4":17}', 17),
        ("€", '{"€":17}', 17),
        ("a", '{"\\ud83d":1,"\\ud83dx":2,"a":17}', 17),
        ("a/b", '{"a\\/b":17}', 17),
    ],
)
def test_values(path, text, number):
    assert JsonPath(path).number_in(text.encode()) == number


def test_deep_nesting_needs_no_stack():
    text = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"id":17}'
    assert JsonPath("id").number_in(text) == 17


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b"])
def test_what_is_no_path(path):
    with pytest.raises(ValueError, match="no path like"):
        JsonPath(path)


def test_a_path_keeps_its_text():
    assert JsonPath("a.0").text == "a.0"
    with pytest.raises(TypeError):
        JsonPath(None)
