"""Where a server listens: on every address of a host, a Unix path, or sockets that it is given."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wsfast.listening
from sockets import Net, Recorder, network, text
from wire import TEXT
from wsfast.limits import Limits
from wsfast.listening import address_url, adopt_sockets, listen, listen_for_workers
from wsfast.server import Server


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


def test_addresses_and_connections(net: Net) -> None:
    server = net.server(Recorder())
    [(host, port)] = server.addresses
    assert host == "127.0.0.1" and port > 0
    peer = net.peer(server).upgrade()
    assert server.connections == 1
    server.stop_listening()
    assert server.addresses == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port))
    assert server.connections == 1 and not peer.ended


@ipv6
def test_ipv6(net: Net) -> None:
    server = Server(Recorder(echo=True), "::1", 0, loop=net.loop)
    net.servers.append(server)
    peer = net.adopt(socket.create_connection(server.addresses[0][:2])).upgrade()
    peer.send(text("six"))
    peer.expect((TEXT, b"six"))


def two_addresses(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Let every name resolve to these, as localhost does where it has two."""
    found: list[tuple[Any, ...]] = []
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = (host, 0, 0, 0) if ":" in host else (host, 0)
        found.append((family, socket.SOCK_STREAM, 6, "", address))
    monkeypatch.setattr(wsfast.listening.socket, "getaddrinfo", lambda *args, **options: found)


@ipv6
def test_port_0_is_one_port_for_both_families(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    two_addresses(monkeypatch, "127.0.0.1", "::1")
    server = net.server(Recorder())
    assert len(server.addresses) == 2
    assert len({address[1] for address in server.addresses}) == 1
    monkeypatch.undo()


@ipv6
def test_port_0_that_is_taken_on_the_second_family_is_another(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_addresses(monkeypatch, "127.0.0.1", "::1")
    real = wsfast.listening._bind
    failing = [errno.EADDRINUSE, errno.EADDRINUSE]

    def bind(family: Any, address: Any, *args: Any) -> socket.socket:
        if family == socket.AF_INET6 and failing:
            raise OSError(failing.pop(), "taken")
        return real(family, address, *args)

    monkeypatch.setattr(wsfast.listening, "_bind", bind)
    server = net.server(Recorder())
    assert not failing and len({address[1] for address in server.addresses}) == 1
    monkeypatch.undo()


def test_an_address_that_is_not_there_is_left_out(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """198.51.100.1 is for documentation (RFC 5737): no machine has it."""
    two_addresses(monkeypatch, "198.51.100.1", "127.0.0.1")
    server = net.server(Recorder())
    assert [address[0] for address in server.addresses] == ["127.0.0.1"]
    two_addresses(monkeypatch, "198.51.100.1")
    with pytest.raises(OSError, match="198.51.100.1"):
        Server(Recorder(), "nowhere", 0)


def test_a_busy_port_is_named(net: Net) -> None:
    port = net.server(Recorder()).addresses[0][1]
    with pytest.raises(OSError, match=rf"cannot listen on \('127.0.0.1', {port}\)") as raised:
        Server(Recorder(), "127.0.0.1", port, loop=net.loop)
    assert raised.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("port", [65536, 99999, -1, "8765"])
def test_a_port_that_is_none_is_named(net: Net, port: Any) -> None:
    with pytest.raises(ValueError, match=f"port is {port!r}, not in 0..65535"):
        Server(Recorder(), port=port, loop=net.loop)


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 64])
def test_a_host_that_cannot_be_resolved_is_named(
    net: Net, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(name: str, *args: Any, **options: Any) -> None:
        name.encode("idna")  # as the real one: UnicodeError for a label that is too long
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match=f"cannot resolve '{host}': .*(unknown|too long)"):
        Server(Recorder(), host, loop=net.loop)


def test_reuse_port_shares_connections_out(net: Net) -> None:
    if not hasattr(socket, "SO_REUSEPORT"):
        pytest.skip("this platform has no SO_REUSEPORT")
    first = net.server(Recorder(echo=True), reuse_port=True)
    port = first.addresses[0][1]
    second = Server(Recorder(echo=True), "127.0.0.1", port, loop=net.loop, reuse_port=True)
    net.servers.append(second)
    for _ in range(64):
        net.peer(first)
    net.until(lambda: first.connections + second.connections == 64)
    assert first.connections and second.connections


def test_unix_socket(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = Server(Recorder(echo=True), unix=str(path), loop=net.loop)
    assert server.addresses == [str(path)]
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(str(path))
    peer = net.adopt(connected).upgrade()
    peer.send(text("local"))
    peer.expect((TEXT, b"local"))
    peer.close()
    server.close()
    assert not path.exists()


def test_a_unix_path_that_nobody_serves_is_taken_over(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(path)
    server = Server(Recorder(), unix=path)
    try:
        with pytest.raises(OSError, match="in use"):  # this one is served
            Server(Recorder(), unix=path)
    finally:
        server.close()
        server.loop.close()
    (tmp_path / "file").write_text("not a socket")
    with pytest.raises(OSError, match="in use"):
        Server(Recorder(), unix=str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "not a socket"


# --- sockets that it is given --------------------------------------------------------------------


def test_given_sockets_are_served(net: Net, tmp_path: Path) -> None:
    """One of a port and one of a path; the path stays, as it is not ours."""
    path = tmp_path / "given"
    given = [*listen("127.0.0.1", 0), *listen("", 0, unix=str(path))]
    server = Server(
        Recorder(echo=True), sockets=given, loop=net.loop, limits=Limits(closing_seconds=0.1)
    )
    net.servers.append(server)
    assert server.addresses == [given[0].getsockname(), str(path)]
    for address, family in zip(server.addresses, (socket.AF_INET, socket.AF_UNIX), strict=True):
        connected = socket.socket(family)
        connected.connect(address)
        peer = net.adopt(connected).upgrade()
        peer.send(text("given"))
        peer.expect((TEXT, b"given"))
    server.close()
    assert path.exists() and all(each.fileno() == -1 for each in given)


def test_given_sockets_become_non_blocking_and_send_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        assert given.getblocking()
        assert adopt_sockets([given]) == [given]
        assert not given.getblocking()
        assert given.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("kind", "listening", "message"),
    [
        (socket.SOCK_DGRAM, False, "is no stream socket"),
        (socket.SOCK_STREAM, False, "does not listen"),
    ],
)
def test_a_socket_that_cannot_accept_is_named(kind: int, listening: bool, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as good, socket.socket(type=kind) as wrong:
        with pytest.raises(ValueError, match=f"descriptor {wrong.fileno()} {message}"):
            adopt_sockets([good, wrong])
        assert good.getblocking(), "nothing was changed"


def test_no_socket_and_what_is_none() -> None:
    with pytest.raises(ValueError, match="nothing to listen on"):
        adopt_sockets([])
    given: Any = 3
    with pytest.raises(TypeError, match=r"3 is no socket\.socket"):
        adopt_sockets([given])


def test_two_servers_share_one_listening_socket(net: Net) -> None:
    """The one that ends takes nothing with it: not one connection is refused or reset."""
    [first] = listen("127.0.0.1", 0)
    old = Server(Recorder(), sockets=[first], loop=net.loop)
    new = Server(Recorder(echo=True), sockets=[first.dup()], loop=net.loop)
    net.servers += [old, new]
    waiting = net.peer(new)  # it may lie in the queue of the kernel by now
    old.close()
    waiting.upgrade().send(text("new"))
    waiting.expect((TEXT, b"new"))


# --- for several processes, and for people ---


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (("127.0.0.1", 80), "ws://127.0.0.1:80/"),
        (("::1", 80, 0, 0), "ws://[::1]:80/"),
        ("/run/echo", "ws+unix:/run/echo"),
    ],
)
def test_addresses_as_urls(address: object, url: str) -> None:
    assert address_url(address) == url
    assert address_url(address, secure=True) == url.replace("ws", "wss", 1)


def close_all(places: list[list[socket.socket]]) -> None:
    for each in sum(places, []):
        each.close()


def test_each_worker_has_a_socket_of_its_own_on_one_port() -> None:
    if not hasattr(socket, "SO_REUSEPORT"):
        pytest.skip("this platform has no SO_REUSEPORT")
    places = listen_for_workers(3, "127.0.0.1", 0)
    assert len({each.fileno() for [each] in places}) == 3
    assert len({each.getsockname() for [each] in places}) == 1
    close_all(places)


@pytest.mark.parametrize("workers", [1, 3])
def test_or_all_have_the_same(workers: int, tmp_path: Path) -> None:
    for options in ({"shared": True}, {"unix": str(tmp_path / f"of{workers}")}):
        places = listen_for_workers(workers, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
        assert len(places) == workers
        assert len({each.fileno() for [each] in places}) == 1
        close_all(places)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_port_that_is_taken_is_named_for_workers_as_well(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on .*{port}"):
            listen_for_workers(workers, "127.0.0.1", port)
