"""Behind HAProxy: by HTTP with X-Forwarded-For, and by PROXY headers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxies import BehindProxy, needs, running
from sockets import Net, network

CONFIG = """
global
    maxconn 128
defaults
    mode MODE
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel IDLEms
frontend outside
    bind fd@LISTENING
    default_backend inside
backend inside
    OPTIONS
    server wsfast 127.0.0.1:SERVER SEND
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class TestHttp(BehindProxy):
    """As an HTTP proxy."""

    mode, send = "http", ""
    options = "option forwardfor\n    http-request set-header X-Forwarded-Host %[req.hdr(Host)]"

    @contextlib.contextmanager
    def proxy(
        self, directory: Path, listening: socket.socket, port: int, idle_milliseconds: int
    ) -> Iterator[None]:
        """Pass a listening socket on by its number, as HAProxy has it."""
        haproxy = needs("haproxy")
        config = CONFIG
        for name, value in {
            "MODE": self.mode,
            "LISTENING": listening.fileno(),
            "IDLE": idle_milliseconds,
            "OPTIONS": self.options,
            "SERVER": port,
            "SEND": self.send,
        }.items():
            config = config.replace(name, str(value))
        (directory / "haproxy.cfg").write_text(config, encoding="utf-8")
        command = [haproxy, "-db", "-f", "haproxy.cfg"]
        with running(command, directory, pass_fds=[listening.fileno()]):
            yield


class ByProxyHeader(TestHttp):
    """As a TCP proxy that says in a PROXY header for whom it speaks."""

    mode, options = "tcp", ""
    server_options = {"proxy_protocol": True}


class TestProxyHeader2(ByProxyHeader):
    """Version 2, with a checksum in it."""

    send = "send-proxy-v2 proxy-v2-options crc32c,unique-id"


class TestProxyHeader1(ByProxyHeader):
    """Version 1."""

    send = "send-proxy"
