"""The self-test of paho-mqtt finds what is wrong with a replacement."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("paho.mqtt.client")

from paho.mqtt import client

from wsfast import speedups
from wsfast.speedups import paho_mqtt_selftest as module
from wsfast.speedups import registry
from wsfast.speedups.paho_mqtt_selftest import selftest
from wsfast.speedups.selftest import Mismatch

WRAPPER: Any = getattr(client, "_WebsocketWrapper", None) or client.WebsocketWrapper


@pytest.fixture(scope="module")
def originals() -> Iterator[dict[str, Any]]:
    """The speedups are in; what the library has itself is handed to the test."""
    with speedups.installed("paho-mqtt", level="frames", strict=True):
        yield registry.library("paho-mqtt").originals


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_found(originals: dict[str, Any], seed: int) -> None:
    selftest(originals, "frames", Random(seed))


def find_it(originals: dict[str, Any], runs: int = 60) -> None:
    with pytest.raises(Mismatch):
        for seed in range(runs):
            selftest(originals, "frames", Random(seed))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("_create_frame", bytes),
        ("_create_frame", lambda frame: frame[:-1]),
        ("_send_impl", lambda size: size or None),
        ("_send_impl", lambda size: size + 1),
        ("_recv_impl", memoryview),
        ("_recv_impl", lambda part: part[:50]),
    ],
)
def test_results_that_differ(originals: dict[str, Any], name: str, spoil: Any) -> None:
    ours = vars(WRAPPER)[name]

    def spoiled(self: Any, *given: Any) -> Any:
        return spoil(ours(self, *given))

    spoiled.__wsfast__ = True  # type: ignore[attr-defined]
    with mock.patch.object(WRAPPER, name, spoiled):
        find_it(originals)


def test_data_that_is_not_masked_in_place(originals: dict[str, Any]) -> None:
    ours = vars(WRAPPER)["_create_frame"]

    def spoiled(self: Any, opcode: Any, data: Any, *given: Any) -> Any:
        return ours(self, opcode, bytearray(data) if isinstance(data, bytearray) else data, *given)

    spoiled.__wsfast__ = True  # type: ignore[attr-defined]
    with mock.patch.object(WRAPPER, "_create_frame", spoiled):
        find_it(originals)


def test_state_that_differs(originals: dict[str, Any]) -> None:
    ours = vars(WRAPPER)["_recv_impl"]

    def spoiled(self: Any, length: Any) -> Any:
        try:
            return ours(self, length)
        finally:
            self._payload_head = 0

    spoiled.__wsfast__ = True  # type: ignore[attr-defined]
    with mock.patch.object(WRAPPER, "_recv_impl", spoiled):
        find_it(originals)


@pytest.mark.parametrize("name", ["_create_frame", "_recv_impl"])
def test_a_replacement_that_nobody_reaches(originals: dict[str, Any], name: str) -> None:
    theirs = next(each for where, each in originals.items() if where.endswith(name))
    with mock.patch.object(WRAPPER, name, theirs):
        with pytest.raises(Mismatch, match=f"{name} does not reach wsfast"):
            selftest(originals, "frames", Random(1))


def test_it_is_short(originals: dict[str, Any]) -> None:
    with mock.patch.object(module, "outcome", side_effect=module.outcome) as spy:
        selftest(originals, "frames", Random(4))
    assert 0 < spy.call_count < 500
