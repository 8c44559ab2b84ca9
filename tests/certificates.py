"""Certificates for tests: made in the test run, trusted by nobody else."""

from __future__ import annotations

import contextlib
import datetime
import functools
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest

from sockets import SECONDS, Net, Peer, Recorder
from wsfast.endpoint import Endpoint
from wsfast.server import Server
from wsfast.tlsconfig import TlsClient, TlsServer

trustme = pytest.importorskip("trustme", reason="trustme is not installed")

__all__ = [
    "Authority",
    "SecurePeer",
    "authority",
    "client",
    "secure_open",
    "secure_peer",
    "server",
]


class Authority:
    """An authority with a directory for what it signs."""

    def __init__(self) -> None:
        self._held = tempfile.TemporaryDirectory()
        self.directory = Path(self._held.name)
        self.ca = trustme.CA()
        self.file = self.directory / "ca.pem"
        self.ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, **options: Any) -> tuple[str, str]:
        """The files of a new certificate and its key."""
        made = self.ca.issue_cert(*(names or ("127.0.0.1", "localhost")), **options)
        number = len(list(self.directory.iterdir()))
        chain, key = self.directory / f"{number}.pem", self.directory / f"{number}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return str(chain), str(key)

    @functools.cached_property
    def files(self) -> tuple[str, str]:
        """A certificate for the loopback, and its key."""
        return self.issue()

    def expired(self) -> tuple[str, str]:
        """A certificate that was valid until yesterday."""
        yesterday = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        return self.issue(not_before=yesterday - datetime.timedelta(days=1), not_after=yesterday)


@functools.cache
def authority() -> Authority:
    """The authority of this test run."""
    return Authority()


def server(**options: Any) -> TlsServer:
    """A server's TLS with a certificate for the loopback."""
    return TlsServer(*authority().files, **options)


def client(**options: Any) -> TlsClient:
    """A client's TLS that trusts the authority."""
    return TlsClient(**{"ca": authority().file, **options})


class SecurePeer(Peer):
    """A raw peer behind the standard library's TLS: what it sends and has received is plaintext.

    Args:
        net, connected, reading: as for `Peer`.
        context: of this end.
        server_side: whether this end is the server.
        step: bytes in which everything is sent, each served by itself; 0: as it comes.
    """

    def __init__(
        self,
        net: Net,
        connected: socket.socket,
        *,
        context: ssl.SSLContext | None = None,
        server_side: bool = False,
        step: int = 0,
        reading: bool = True,
    ) -> None:
        self.arrived, self.leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if server_side else "127.0.0.1"
        context = context or (server() if server_side else client()).context
        self.ssl = context.wrap_bio(self.arrived, self.leaving, server_side, name)
        self.step = step
        self.established = False
        self.notified = False
        self.failure: ssl.SSLError | None = None
        super().__init__(net, connected, reading=reading)
        net.peers.append(self)
        if not server_side:
            self.advance()

    def advance(self) -> None:
        """A step of the handshake, and then whatever there is to read."""
        try:
            if not self.established:
                self.ssl.do_handshake()
                self.established = True
            while not self.notified:
                data = self.ssl.read(1 << 16)
                self.received += data
                self.notified = not data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.notified = True
        except ssl.SSLError as error:
            self.failure = error
        self.send_records(self.leaving.read())

    def pull(self) -> None:
        held, self.received = self.received, bytearray()
        super().pull()
        self.arrived.write(self.received)
        self.received = held
        self.advance()

    def secure(self) -> SecurePeer:
        """Wait until the handshake is over on this side."""
        self.net.until(lambda: self.established or self.failure or self.ended)
        assert self.established, self.failure
        return self

    def push(self) -> None:
        if self.step and self.outgoing:  # a piece a turn
            rest = self.outgoing[self.step :]
            self.outgoing = self.outgoing[: self.step]
            super().push()
            self.outgoing = memoryview(bytes(self.outgoing) + bytes(rest))
            self.update()
        else:
            super().push()

    def send(self, data: bytes, step: int = 0) -> None:
        self.ssl.write(data)
        self.send_records(self.leaving.read())

    def send_records(self, records: bytes) -> None:
        """Send ciphertext, or anything else, as it is."""
        if records:
            super().send(records)

    def say_goodbye(self) -> None:
        """Send close_notify, and keep TCP open."""
        with contextlib.suppress(ssl.SSLError):
            self.ssl.unwrap()
        self.send_records(self.leaving.read())
        self.net.until(lambda: not self.outgoing)


def secure_peer(net: Net, target: Server, **options: Any) -> SecurePeer:
    """A connection to a server of ours, its TLS handshake begun."""
    connected = socket.create_connection(target.addresses[0][:2], SECONDS)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SecurePeer(net, connected, **options)


def secure_open(
    net: Net, handler: Recorder, *, step: int = 0, tls: TlsServer | None = None, **options: Any
) -> tuple[SecurePeer, Endpoint]:
    """A TLS server with one peer that is past the opening handshake, and its endpoint."""
    target = net.server(handler, tls=tls or server(), **options)
    peer = secure_peer(net, target, step=step).secure()
    peer.upgrade()
    return peer, handler.endpoints[-1]
