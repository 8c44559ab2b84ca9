"""The pages of figures: their text, as Prometheus' own reader reads it, and over a socket."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from sockets import Net, Recorder, network, text
from wire import TEXT
from wsfast.listening import listen
from wsfast.metrics import (
    GAUGES,
    Figures,
    Metrics,
    WorkerFigures,
    exposition,
    parse_address,
)

PROGRAM = {"workers": 2, "workers_ready": 1, "workers_waiting": 1, "worker_deaths": 7}
FIGURES = Figures(
    PROGRAM,
    [
        WorkerFigures(0, [10, 11], {"messages_received": 5, "connections": 2}),
        WorkerFigures(1, [], {"messages_received": 6}),
    ],
)


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def families(page: str) -> dict[str, Any]:
    """What Prometheus' own reader makes of a page, by name."""
    parser = pytest.importorskip("prometheus_client.parser")
    found = list(parser.text_string_to_metric_families(page))
    named = {family.name: family for family in found}
    assert len(named) == len(found), "a family comes twice"
    return named


def test_the_text_is_what_prometheus_reads() -> None:
    found = families(exposition(FIGURES))
    assert {name: family.type for name, family in found.items()} == {
        "wsfast_workers": "gauge",
        "wsfast_workers_ready": "gauge",
        "wsfast_workers_waiting": "gauge",
        "wsfast_worker_deaths": "counter",
        "wsfast_messages_received": "counter",
        "wsfast_connections": "gauge",
    }
    samples = [
        (each.name, each.labels, each.value) for each in found["wsfast_messages_received"].samples
    ]
    assert samples == [
        ("wsfast_messages_received_total", {"worker": "0"}, 5),
        ("wsfast_messages_received_total", {"worker": "1"}, 6),
    ]
    assert [each.labels for each in found["wsfast_connections"].samples] == [{"worker": "0"}]
    assert found["wsfast_worker_deaths"].samples[0].value == 7


def test_nothing_to_tell_is_an_empty_page() -> None:
    assert exposition(Figures({}, [])) == ""


def test_the_json_has_the_sums() -> None:
    read = json.loads(FIGURES.as_json())
    assert read["total"] == {"messages_received": 11, "connections": 2} == FIGURES.total
    assert read["program"] == PROGRAM
    assert read["workers"][0] == {
        "worker": 0,
        "pids": [10, 11],
        "stats": {"messages_received": 5, "connections": 2},
    }


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.1:9100", ("127.0.0.1", 9100)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses(given: str, address: tuple[str, int]) -> None:
    assert parse_address(given) == address


@pytest.mark.parametrize(
    "given", ["", "9100", ":9100", "a:", "a:b", "::1:9100", "a:65536", "a b:1"]
)
def test_addresses_that_are_none(given: str) -> None:
    with pytest.raises(ValueError, match="not HOST:PORT"):
        parse_address(given)


def ask(net: Net, address: Any, path: str) -> tuple[str, str]:
    """Head and body of a page."""
    peer = net.adopt(socket.create_connection(address))
    peer.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    net.until(lambda: peer.ended)
    head, _, body = peer.received.decode().partition("\r\n\r\n")
    return head, body


def test_over_a_socket(net: Net) -> None:
    """On the loop of the server that it tells of, and not counted with it."""
    server = net.server(Recorder(echo=True))
    peer = net.peer(server).upgrade()
    peer.send(text("one"))
    peer.expect((TEXT, b"one"))
    sockets = listen("127.0.0.1", 0)
    address = sockets[0].getsockname()
    pages = Metrics(
        sockets, net.loop, lambda: Figures({}, [WorkerFigures(0, [1], server.stats())])
    )
    head, body = ask(net, address, "/metrics")
    assert "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
    found = families(body)
    assert found["wsfast_messages_received"].samples[0].value == 1
    assert found["wsfast_connections"].samples[0].value == 1
    assert {name for name, each in found.items() if each.type == "gauge"} == {
        f"wsfast_{name}" for name in GAUGES
    }
    head, body = ask(net, address, "/stats")
    assert "\r\nContent-Type: application/json\r\n" in head
    assert json.loads(body)["total"] == server.stats()
    assert ask(net, address, "/other")[0].startswith("HTTP/1.1 404 ")
    asking = net.adopt(socket.create_connection(address))
    asking.send(b"GET /metr")
    net.settle()
    pages.close()
    net.until(lambda: asking.ended)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_child_leaves_it_to_its_parent(net: Net) -> None:
    """The copies of its sockets are closed there, and nothing happens to those of the parent."""
    sockets = listen("127.0.0.1", 0)
    address = sockets[0].getsockname()
    pages = Metrics(sockets, net.loop, lambda: FIGURES)
    held = net.adopt(socket.create_connection(address))
    held.send(b"GET /metr")
    net.until(lambda: pages._server.connections)
    [endpoint] = pages._server.settings.endpoints
    fds = [sockets[0].fileno(), endpoint.fd]
    pid = os.fork()
    if pid == 0:
        pages.leave_to_parent()
        net.loop.close()
        left = [fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")]
        os._exit(len(left))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    held.send(b"ics HTTP/1.1\r\nHost: a\r\n\r\n")
    assert held.take_head().startswith(b"HTTP/1.1 200 ")
    pages.close()


def test_who_asks_takes_few_descriptors_of_the_supervisor(net: Net) -> None:
    """It needs some for the next worker, whoever holds connections to the page open."""
    sockets = listen("127.0.0.1", 0)
    address = sockets[0].getsockname()
    pages = Metrics(sockets, net.loop, lambda: FIGURES)
    asking = [net.adopt(socket.create_connection(address)) for _ in range(200)]
    net.until(lambda: sum(peer.ended for peer in asking) == 120)
    assert pages._server.connections == 80
    for peer in asking:
        peer.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    statuses = [peer.take_head()[9:12] for peer in asking if not peer.ended]
    assert (statuses.count(b"200"), statuses.count(b"503")) == (16, 64)
    pages.close()
