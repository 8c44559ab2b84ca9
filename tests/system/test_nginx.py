"""Behind nginx: upgrade, addresses, idle connections, and a server that closes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxies import BehindProxy, needs, page, running, site
from sockets import Net, network

CONFIG = """
daemon off;
pid pid;
error_log stderr info;
events { worker_connections 128; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    scgi_temp_path scgi;
    uwsgi_temp_path uwsgi;
    map $http_upgrade $connection_upgrade { default upgrade; "" close; }
    upstream kept { server 127.0.0.1:SERVER; keepalive 4; keepalive_timeout 60s; }
    server {
        listen 127.0.0.1:LISTENING;
        location /kept/ {
            proxy_pass http://kept/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }
        location /older/ { proxy_pass http://127.0.0.1:SERVER/; }
        location / {
            proxy_pass http://127.0.0.1:SERVER;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_read_timeout IDLEms;
        }
    }
}
"""


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


class TestNginx(BehindProxy):
    """nginx ends what the server has left idle (proxy_read_timeout)."""

    @contextlib.contextmanager
    def proxy(
        self, directory: Path, listening: socket.socket, port: int, idle_milliseconds: int
    ) -> Iterator[None]:
        """Pass a listening socket on as nginx passes it to its successor: by its number."""
        nginx = needs("nginx")
        config = CONFIG.replace("LISTENING", str(listening.getsockname()[1]))
        config = config.replace("SERVER", str(port)).replace("IDLE", str(idle_milliseconds))
        (directory / "nginx.conf").write_text(config, encoding="utf-8")
        command = [nginx, "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]
        number = listening.fileno()
        with running(command, directory, pass_fds=[number], env={"NGINX": f"{number};"}):
            yield

    def test_pages_over_connections_that_are_kept(self, net, behind):
        """`keepalive` of an upstream: many requests, and one connection to the server."""
        server = behind(site())
        for _ in range(10):
            assert page(net, self.address, "/kept/healthz") == (200, "well")
        stats = server.stats()
        assert (stats["pages"], stats["accepted"], stats["failed"]) == (10, 1, 0)

    def test_pages_as_nginx_asks_for_them_by_default(self, net, behind):
        """By HTTP/1.0: a connection for each."""
        server = behind(site())
        for _ in range(3):
            assert page(net, self.address, "/older/healthz") == (200, "well")
        assert server.stats()["pages"] == server.stats()["accepted"] == 3
