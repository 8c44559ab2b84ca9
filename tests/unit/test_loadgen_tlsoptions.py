"""The TLS options of wsfast-bench: what they mean for a connection, and what is refused."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from typing import Any

import click
import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")

from certificates import authority, server  # noqa: E402
from sockets import Net, Recorder, network  # noqa: E402
from wsfast.loadgen.echoing import EchoEngine  # noqa: E402
from wsfast.loadgen.options import with_options  # noqa: E402
from wsfast.loadgen.plan import Plan  # noqa: E402
from wsfast.loadgen.tlsoptions import TLS_OPTIONS, sessions_of, tls_of  # noqa: E402

URL = "wss://127.0.0.1:1/"


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    yield from network(request)


def options(**given: Any) -> dict[str, Any]:
    """What click makes of the command line."""

    def nothing(**found: Any) -> None:
        raise AssertionError("only its parameters are of interest")

    command = click.command()(with_options(TLS_OPTIONS)(nothing))
    words = [word for name, value in given.items() for word in spelled(name, value)]
    return command.make_context("test", words).params


def spelled(name: str, value: Any) -> list[str]:
    return [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]


def run(net: Net, tls: Any, **given: Any) -> EchoEngine:
    """Open three connections to a server and wait for what becomes of them."""
    target = net.server(Recorder(echo=True), tls=tls)
    url = net.url(target)
    port = target.addresses[0][1]
    plan = Plan(
        url=url,
        address="127.0.0.1",
        port=port,
        connections=3,
        tls=tls_of(url, options(**given)),
        seconds=1.0,
    )
    engine = EchoEngine(net.loop, Plan.from_dict(plan.to_dict()))
    for index in range(3):
        engine.connect(index)
    net.until(lambda: not engine.pending)
    return engine


def test_a_plain_url_needs_nothing() -> None:
    assert tls_of("ws://127.0.0.1/{token}", options()) is None
    assert sessions_of("ws://127.0.0.1/", None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"insecure": True}, "--insecure is for wss://"),
        ({"cacert": "x"}, "--cacert is for wss://"),
        ({"tls_max": "1.3"}, "--tls-max is for wss://"),
        ({"servername": "x"}, "--servername is for wss://"),
    ],
)
def test_options_beside_a_plain_url(given: dict[str, Any], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        tls_of("ws://127.0.0.1/", options(**given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": "x"}, "--key goes with --cert"),
        ({"insecure": True, "cacert": "x"}, "does not go with it"),
        ({"cacert": "absent.pem"}, "absent.pem"),
        ({"cert": "absent.pem"}, "certificate cannot be read"),
        ({"tls_min": "1.3", "tls_max": "1.2"}, "below"),
    ],
)
def test_options_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        tls_of(URL, options(**given))


def test_the_name_is_the_urls_or_the_option() -> None:
    def name(url: str, **given: Any) -> str:
        make = sessions_of(url, tls_of(url, options(**given)))
        assert make is not None
        return make().ssl_object.server_hostname

    assert name("wss://bücher.example/{token}") == "xn--bcher-kva.example"
    assert name(URL, servername="other.example") == "other.example"


def test_insecure_verifies_nothing() -> None:
    make = sessions_of(URL, tls_of(URL, options(insecure=True)))
    assert make is not None
    context = make().ssl_object.context
    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname


@pytest.mark.parametrize("given", [{"insecure": True}, {"cacert": "the authority's"}])
def test_connections_open(net: Net, given: dict[str, Any]) -> None:
    given = {name: authority().file if name == "cacert" else each for name, each in given.items()}
    engine = run(net, server(), **given)
    assert engine.live == 3
    assert not engine.errors
    engine.abort_all()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_versions(net: Net, version: str) -> None:
    engine = run(net, server(), insecure=True, tls_min=version, tls_max=version)
    assert {ws.tls.version for ws in net.servers[0].settings.endpoints} == {f"TLSv{version}"}
    engine.abort_all()


def test_client_certificates(net: Net) -> None:
    chain, key = authority().issue("load.example")
    tls = server(client_ca=authority().file)
    engine = run(net, tls, cacert=authority().file, cert=chain, key=key)
    assert engine.live == 3
    engine.abort_all()


def test_what_cannot_be_trusted_is_counted(net: Net) -> None:
    assert run(net, server()).errors == {"tls_certificate": 3}


def test_a_server_of_another_version_is_counted(net: Net) -> None:
    tls = server(minimum_version="1.3")
    assert run(net, tls, insecure=True, tls_max="1.2").errors == {"tls": 3}
