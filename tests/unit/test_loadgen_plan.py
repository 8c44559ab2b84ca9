"""wsfast.loadgen.plan: splitting over workers adds up, sources suffice, plans travel as JSON."""

from __future__ import annotations

import json
import math
import os
import socket

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

from wsfast.loadgen import plan as module
from wsfast.loadgen.plan import Plan, choose_sources, split


def plan_of(connections=10, **fields):
    return Plan(
        url="ws://127.0.0.1:9/", address="127.0.0.1", port=9, connections=connections, **fields
    )


def test_a_plan_travels_as_json():
    plan = plan_of(
        sources=("127.0.0.2", "127.0.0.3"), seconds=0.5, cpu=1, rate=0.0, stages=((1.0, 5.0),)
    )
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="surprise"):
        Plan.from_dict({**plan_of().to_dict(), "surprise": 1})


@given(
    st.integers(1, 100_000), st.integers(1, 64), st.none() | st.integers(64, 10**9), st.booleans()
)
def test_the_pieces_add_up(connections, workers, messages, paced):
    rate = 500.0 if paced else None
    plan = plan_of(connections, messages=messages, connect_rate=rate)
    pieces = split(plan, workers)
    assert len(pieces) == workers
    assert sum(piece.connections for piece in pieces) == connections
    assert max(p.connections for p in pieces) - min(p.connections for p in pieces) <= 1
    assert [piece.first for piece in pieces] == [
        sum(before.connections for before in pieces[:position]) for position in range(workers)
    ]
    if messages is not None:
        assert sum(piece.messages for piece in pieces) == messages
    if paced:
        assert sum(piece.connect_rate for piece in pieces) == pytest.approx(rate)
    assert len({piece.seed for piece in pieces}) == workers


def test_the_schedules_of_the_pieces_add_up():
    plan = plan_of(rate=100.0, stages=((1.0, 300.0), (2.0, 0.0)))
    pieces = split(plan, 4)
    assert [piece.phase for piece in pieces] == [0.0, 0.25, 0.5, 0.75]
    assert all(piece.rate == 25.0 for piece in pieces)
    assert all(piece.stages == ((1.0, 75.0), (2.0, 0.0)) for piece in pieces)


@pytest.mark.parametrize(
    ("fields", "stages"),
    [
        ({"seconds": 5.0}, [(5.0, 8.0)]),
        ({}, [(math.inf, 8.0)]),
        ({"seconds": 5.0, "warmup_seconds": 1.0}, [(1.0, 8.0), (5.0, 8.0)]),
        ({"stages": ((2.0, 9.0),), "warmup_seconds": 1.0}, [(1.0, 8.0), (2.0, 9.0)]),
    ],
)
def test_all_stages(fields, stages):
    assert plan_of(rate=8.0, **fields).all_stages() == stages


def test_workers_are_pinned_in_turn():
    assert [piece.cpu for piece in split(plan_of(), 3, (4, 6))] == [4, 6, 4]
    assert [piece.cpu for piece in split(plan_of(), 2)] == [None, None]


@pytest.mark.parametrize(
    ("bind", "address", "connections", "sources"),
    [
        ("auto", "127.0.0.1", 1, ("127.0.0.2",)),
        ("auto", "127.0.0.1", 15_000, ("127.0.0.2",)),
        ("auto", "127.0.0.1", 15_001, ("127.0.0.2", "127.0.0.3")),
        ("auto", "192.0.2.1", 10, ()),
        ("auto", "::1", 10, ()),
        ("none", "127.0.0.1", 10, ()),
        ("192.0.2.7, 192.0.2.8", "192.0.2.1", 10, ("192.0.2.7", "192.0.2.8")),
        ("::2", "::1", 10, ("::2",)),
    ],
)
def test_sources(bind, address, connections, sources):
    assert choose_sources(bind, address, connections) == sources


@pytest.mark.parametrize(
    ("bind", "message"), [("localhost", "localhost"), ("::1", "different IP versions")]
)
def test_sources_that_cannot_be(bind, message):
    with pytest.raises(ValueError, match=message):
        choose_sources(bind, "127.0.0.1", 10)


def test_no_source_has_more_than_its_share():
    total, workers = 40_000, 3
    sources = choose_sources("auto", "127.0.0.1", total)
    used = {}
    for piece in split(plan_of(total, sources=sources), workers):
        for index in range(piece.connections):
            source = piece.source_of(index)
            used[source] = used.get(source, 0) + 1
    assert sum(used.values()) == total
    assert max(used.values()) <= module.CONNECTIONS_PER_SOURCE


def test_without_sources_the_kernel_chooses():
    assert plan_of().source_of(3) is None


def test_contents():
    binary = module.content_of(plan_of(size=64, seed=1))
    assert len(binary) == 64
    assert binary == module.content_of(plan_of(size=64, seed=1))
    assert binary != module.content_of(plan_of(size=64, seed=2))
    text = module.content_of(plan_of(size=500, text=True))
    assert len(text) == 500
    assert text.decode("ascii").isprintable()
    assert module.content_of(plan_of(size=0)) == b""


def test_workers_for_a_descriptor_limit():
    spare = module.SPARE_DESCRIPTORS
    assert module.workers_for(1, 1024) == 1
    assert module.workers_for(1000, 1000 + spare) == 1
    assert module.workers_for(1001, 1000 + spare) == 2
    assert module.workers_for(5, 10) == 5  # fewer descriptors than we need ourselves


def test_cpus_beside():
    allowed = os.sched_getaffinity(0)
    one = min(allowed)
    assert module.cpus_beside((one,)) == (allowed - {one} or allowed)
    assert module.cpus_beside(tuple(allowed)) == allowed


def test_a_numeric_address_resolves_to_itself():
    assert module.resolve("127.0.0.1", 80) == "127.0.0.1"
    assert module.resolve("::1", 80) == "::1"


def test_of_several_addresses_the_one_that_accepts(monkeypatch):
    """As with localhost, where ::1 comes first and the server listens on 127.0.0.1."""
    numeric = socket.getaddrinfo

    def both_for_the_name(host, port, *arguments, **options):
        hosts = ("127.0.0.3", "127.0.0.2") if host == "somewhere" else (host,)
        return [entry for each in hosts for entry in numeric(each, port, *arguments, **options)]

    monkeypatch.setattr(module.socket, "getaddrinfo", both_for_the_name)
    with socket.create_server(("127.0.0.2", 0)) as listener:
        port = listener.getsockname()[1]
        assert module.resolve("somewhere", port) == "127.0.0.2"
    assert module.resolve("somewhere", port) == "127.0.0.3"


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("too long")])
def test_a_host_that_is_not_known(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(module.socket, "getaddrinfo", fail)
    with pytest.raises(OSError, match=r"'somewhere' is not known: .*(unknown|too long)"):
        module.resolve("somewhere", 80)
