"""The options of `run`: defaults, and every value that is refused, with value and rule."""

from __future__ import annotations

import dataclasses
import math
import socket
import ssl
from typing import Any

import pytest

from wsfast.runoptions import HOSTINGS, LIMITS, RunOptions


def test_defaults() -> None:
    options = RunOptions()
    assert (options.host, options.port, options.backlog) == ("127.0.0.1", 8765, 4096)
    assert (options.drain_seconds, options.drain_rate, options.close_code) == (25.0, None, 1001)
    assert options.hosting is None and options.workers is None and options.metrics is None
    assert options.limits == {} and not options.shared_socket


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": -1}, "port is -1, not in 0..65535"),
        ({"port": 65536}, "port is 65536, not in 0..65535"),
        ({"fd": -1}, "fd is -1, not in 0.."),
        ({"backlog": 0}, "backlog is 0, not in 1.."),
        ({"workers": 0}, "workers is 0, not in 1..1024"),
        ({"workers": 1025}, "workers is 1025, not in 1..1024"),
        ({"drain_seconds": -0.1}, "drain_seconds is -0.1, not in 0.."),
        ({"drain_seconds": math.nan}, "drain_seconds is nan, not in 0.."),
        ({"drain_seconds": math.inf}, "drain_seconds is inf, not in 0.."),
        ({"drain_rate": 0}, "drain_rate is 0, not in 0.001.."),
        ({"close_code": 1005}, "close_code 1005 must not be sent (RFC 6455 7.4)"),
        ({"close_code": 999}, "close_code is 999, not in 1000..4999"),
        ({"hosting": "trio"}, "hosting is 'trio', none of alone, asyncio, uvloop"),
        ({"metrics": "9100"}, "metrics is '9100', not HOST:PORT"),
        ({"unix": "/x", "fd": 3}, "unix and fd say where to listen: one of them"),
        ({"unix": "/x", "sockets": []}, "unix and sockets say where to listen: one of them"),
        ({"unix": ""}, "unix is '', which is no path"),
        ({"close_code": 5000}, "close_code is 5000, not in 1000..4999"),
        ({"proxy_protocol": True}, "proxy_protocol needs trusted_proxies"),
        ({"trusted_proxies": ["x"]}, "trusted proxy: 'x' does not appear"),
        ({"key": "k"}, "key and client_ca go with certificate"),
        ({"client_ca": "c"}, "key and client_ca go with certificate"),
    ],
)
def test_values_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        RunOptions(**options)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": "8765"}, "port is '8765', not a whole number"),
        ({"port": 1.0}, "port is 1.0, not a whole number"),
        ({"port": None}, "port is None, not a whole number"),
        ({"workers": True}, "workers is True, not a whole number"),
        ({"close_code": 1000.5}, "close_code is 1000.5, not a whole number"),
        ({"close_code": "1001"}, "close_code is '1001', not a whole number"),
        ({"drain_seconds": "1"}, "drain_seconds is '1', not a number"),
        ({"drain_seconds": None}, "drain_seconds is None, not a number"),
        ({"limits": {"no_such_limit": 1}}, "there is no option 'no_such_limit'"),
        ({"no_such_option": 1}, "no_such_option"),
    ],
)
def test_types_and_names_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as raised:
        RunOptions(**options)
    assert message in str(raised.value)


def test_two_certificates() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ValueError, match="certificate and tls are two certificates"):
        RunOptions(certificate="c", tls=context)
    assert RunOptions(tls=context).tls is context


@pytest.mark.parametrize("hosting", [None, *HOSTINGS])
def test_what_is_fine(hosting: str | None) -> None:
    with socket.socket() as given:
        options = RunOptions(
            hosting=hosting,
            sockets=[given],
            workers=1024,
            drain_seconds=0,
            drain_rate=None,
            metrics="[::1]:0",
            limits={"max_connections": None},
        )
    assert options.hosting == hosting and options.metrics == "[::1]:0"
    assert "max_connections" in LIMITS


def test_it_is_frozen_and_every_option_is_explained() -> None:
    options = RunOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.port = 1  # type: ignore[misc]
    assert RunOptions.__doc__ is not None
    for field in dataclasses.fields(RunOptions):
        assert field.name in RunOptions.__doc__
        assert not field.metadata or field.metadata["help"]
