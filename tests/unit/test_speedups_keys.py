"""Masking keys for patched libraries: from the pool, unless somebody replaced the source."""

from __future__ import annotations

import functools
import os
import secrets
import sys
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from wsfast.speedups.keys import KeySource


@pytest.fixture(params=[(secrets, "token_bytes"), (os, "urandom")], ids=["secrets", "os"])
def source(request: pytest.FixtureRequest) -> tuple[ModuleType, str]:
    """The two places that libraries take keys from."""
    module, name = request.param
    return module, name


def test_a_key_is_four_bytes_and_another_one_each_time(source: Any) -> None:
    keys = KeySource(*source)
    found = {keys.token() for _ in range(2000)}
    assert all(type(each) is bytes and len(each) == 4 for each in found)
    assert len(found) > 1990
    assert len({each[0] for each in found}) > 200


def test_the_usual_function_is_not_called_for_each_key(source: Any) -> None:
    """Its pool is; that is what is gained."""
    keys = KeySource(*source)
    calls = []
    profile = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: calls.append(event) if event == "call" else None)
    try:
        for _ in range(100):
            keys.token()
    finally:
        sys.setprofile(profile)
    assert len(calls) < 10


def test_a_replaced_function_is_asked_for_every_key(source: Any) -> None:
    module, name = source
    keys = KeySource(module, name)
    asked: list[int] = []

    def known(size: int) -> bytes:
        asked.append(size)
        return b"%04d" % len(asked)

    with mock.patch.object(module, name, known):
        assert [keys.token() for _ in range(3)] == [b"0001", b"0002", b"0003"]
    assert asked == [4, 4, 4]
    for _ in range(3):
        keys.token()
    assert asked == [4, 4, 4]


def test_a_function_that_wraps_the_usual_one_is_a_replacement(source: Any) -> None:
    module, name = source
    keys = KeySource(module, name)
    usual = getattr(module, name)
    asked: list[int] = []

    @functools.wraps(usual)
    def traced(size: int) -> Any:
        asked.append(size)
        return usual(size)

    with mock.patch.object(module, name, traced):
        assert len(keys.token()) == 4
    assert asked == [4]


def test_what_was_replaced_before_we_came_is_no_usual_one(source: Any) -> None:
    """A test that patches it and then imports the library wants its own keys."""
    module, name = source
    for each in (mock.Mock(return_value=b"mock"), lambda size: b"mock"):
        with mock.patch.object(module, name, each):
            keys = KeySource(module, name)
            assert [keys.token(), keys.token()] == [b"mock", b"mock"]
        assert keys.token() != keys.token()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_are_taken(source: Any, kind: Any) -> None:
    module, name = source
    keys = KeySource(module, name)
    with mock.patch.object(module, name, lambda size: kind(b"abcd")):
        token = keys.token()
    assert token == b"abcd" and type(token) is bytes


@pytest.mark.parametrize("wrong", [b"", b"abc", b"abcde"])
def test_a_key_of_another_size_is_an_error(source: Any, wrong: bytes) -> None:
    module, name = source
    keys = KeySource(module, name)
    with mock.patch.object(module, name, lambda size: wrong):
        with pytest.raises(ValueError, match=rf"is 4 bytes \(RFC .* 5\.3\), not {len(wrong)}"):
            keys.token()


@pytest.mark.parametrize("wrong", [4, "abcd", None, [1, 2, 3, 4]])
def test_what_is_no_bytes_is_an_error(source: Any, wrong: object) -> None:
    """4 above all: bytes(4) would be a key that masks nothing."""
    module, name = source
    keys = KeySource(module, name)
    with mock.patch.object(module, name, lambda size: wrong):
        with pytest.raises(TypeError, match="bytes-like"):
            keys.token()


def test_an_error_of_the_replacement_comes_through(source: Any) -> None:
    module, name = source
    keys = KeySource(module, name)
    with mock.patch.object(module, name, side_effect=OSError("no entropy")):
        with pytest.raises(OSError, match="no entropy"):
            keys.token()
    assert len(keys.token()) == 4


def test_a_function_that_is_gone_is_an_error_as_for_the_library(source: Any) -> None:
    module, name = source
    keys = KeySource(module, name)
    usual = getattr(module, name)
    delattr(module, name)
    try:
        with pytest.raises(KeyError, match=name):
            keys.token()
    finally:
        setattr(module, name, usual)
    assert len(keys.token()) == 4


def test_wrong_arguments() -> None:
    with pytest.raises(KeyError, match="no_such_function"):
        KeySource(os, "no_such_function")
    with pytest.raises(TypeError):
        KeySource(os, None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        KeySource(5, "urandom")  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_does_not_repeat_its_parents_keys(source: Any) -> None:
    keys = KeySource(*source)
    keys.token()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"".join(keys.token() for _ in range(64)))
        os._exit(0)
    ours = {keys.token() for _ in range(64)}
    os.close(writing)
    with open(reading, "rb") as file:
        theirs = file.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(theirs) == 256
    assert len({theirs[i : i + 4] for i in range(0, 256, 4)} & ours) <= 1
