"""The command line of wsfast-serve; tests/system/test_serve_program.py runs it."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import pytest

from wsfast.limits import Limits
from wsfast.serve.options import add_dataclass, chosen, parse


def test_defaults() -> None:
    assert vars(parse(["chat:app"])) == {
        "target": "chat:app",
        "host": "127.0.0.1",
        "port": 8765,
        "unix": None,
        "fd": None,
        "origins": None,
        "limits": Limits(),
        "certificate": None,
        "key": None,
        "client_ca": None,
        "trusted_proxies": [],
        "proxy_protocol": False,
        "app_dir": "",
        "workers": None,
        "hosting": None,
        "shared_socket": False,
        "pid_file": None,
        "drain_seconds": 25.0,
        "drain_rate": None,
        "close_code": 1001,
        "log_level": "info",
        "log_json": False,
        "access_log": False,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "::1", "--port=0"], {"host": "::1", "port": 0}),
        (["--workers", "4", "--shared-socket"], {"workers": 4, "shared_socket": True}),
        (["--reuse-port"], {"shared_socket": False}),
        (["--hosting", "uvloop"], {"hosting": "uvloop"}),
        (
            ["--drain-seconds", "0.5", "--drain-rate=100"],
            {"drain_seconds": 0.5, "drain_rate": 100},
        ),
        (["--close-code", "1012"], {"close_code": 1012}),
        (
            ["--origin", "none", "--origin", "https://a.example"],
            {"origins": [None, "https://a.example"]},
        ),
        (
            ["--log-json", "--access-log", "--log-level", "debug"],
            {"log_json": True, "access_log": True},
        ),
        (["--fd", "3"], {"fd": 3}),
        (["--certificate", "a", "--key=b"], {"certificate": "a", "key": "b", "client_ca": None}),
        (["--trusted-proxy=::1", "--trusted-proxy=unix"], {"trusted_proxies": ["::1", "unix"]}),
        (["--proxy-protocol"], {"proxy_protocol": True}),
    ],
)
def test_options(arguments: list[str], expected: dict[str, object]) -> None:
    given = vars(parse(["a:b", *arguments]))
    assert {name: given[name] for name in expected} == expected


def test_every_limit_has_its_option() -> None:
    given = parse(["a:b", "--max-connections=5", "--idle-seconds", "2.5", "--max-fragments=none"])
    assert given.limits == Limits(max_connections=5, idle_seconds=2.5, max_fragments=None)
    for field in dataclasses.fields(Limits):
        words = [f"--{field.name.replace('_', '-')}", str(field.default).lower()]
        assert parse(["a:b", *words]).limits == Limits(), words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "module:app"),
        (["a:b", "--origin", "example.com"], "example.com"),
        (["a:b", "--origin", "any", "--origin", "same"], '"any" stands alone'),
        (["a:b", "--max-message-bytes", "0"], "max_message_bytes is 0, not in 1.."),
        (["a:b", "--low-water-bytes", "1000000"], "are not in rising order"),
        (["chat"], "'chat' is not of the form module:attribute"),
        (["a:b", "--port", "65536"], "65536 is not in 0..65535"),
        (["a:b", "--port", "http"], "'http' is not a whole number"),
        (["a:b", "--workers", "0"], "0 is not in 1..1024"),
        (["a:b", "--drain-seconds", "nan"], "nan is not in 0.."),
        (["a:b", "--drain-seconds", "soon"], "'soon' is not a number"),
        (["a:b", "--drain-rate", "0"], "0 is not in 0.001.."),
        (["a:b", "--close-code", "1005"], "1005 must not be sent (RFC 6455 7.4)"),
        (["a:b", "--close-code", "bye"], "bye must not be sent"),
        (["a:b", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["a:b", "--unix", "x", "--fd", "3"], "one of them"),
        (["a:b", "--reuse-port", "--shared-socket"], "not allowed with"),
        (["a:b", "--key", "x"], "go with --certificate"),
        (["a:b", "--nonsense"], "--nonsense"),
    ],
)
def test_usage_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(["--help"])
    assert raised.value.code == 0
    printed = capsys.readouterr().out
    for name in vars(parse(["a:b"])):
        if name not in ("target", "origins", "limits", "trusted_proxies"):
            assert f"--{name.replace('_', '-')}" in printed


# --- options of a dataclass ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sample:
    max_message_bytes: int = 1024
    idle_seconds: float | None = None
    max_connections: int | None = 5
    ping_jitter: float = 0.2


def read(*arguments: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="sample")
    add_dataclass(parser, Sample, "limits")
    return chosen(parser.parse_args(arguments), Sample)


def test_a_field_is_an_option_and_only_what_is_given_is_chosen() -> None:
    assert read() == {}
    assert read("--max-message-bytes", "10", "--idle-seconds=1.5") == {
        "max_message_bytes": 10,
        "idle_seconds": 1.5,
    }
    assert read("--max-connections", "none", "--ping-jitter", "0") == {
        "max_connections": None,
        "ping_jitter": 0.0,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-message-bytes", "1.5"], "invalid int value: '1.5'"),
        (["--max-message-bytes", "none"], "invalid int value: 'none'"),
        (["--max-connections", "many"], "invalid int or none value: 'many'"),
    ],
)
def test_values_that_are_none(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(*arguments)
    assert message in capsys.readouterr().err


def test_its_help_says_unit_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    printed = capsys.readouterr().out
    assert "--max-message-bytes BYTES" in printed and "(1024)" in printed
    assert "--idle-seconds SECONDS" in printed and "(none)" in printed
