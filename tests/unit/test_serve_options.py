"""The command line of wsfast-serve; tests/system/test_serve_program.py runs it."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import pytest

from wsfast.app import App
from wsfast.limits import Limits
from wsfast.running import Running
from wsfast.runoptions import LIMITS, RunOptions
from wsfast.serve.options import add_dataclass, chosen, parse


def test_defaults() -> None:
    options = parse(["chat:app"])
    assert options.run == RunOptions()
    given = {name: value for name, value in vars(options).items() if name != "run"}
    assert given == {
        "target": "chat:app",
        "app_dir": "",
        "origins": None,
        "log_level": "info",
        "log_json": False,
    }


#: What only one of the two can have: objects, and what there is to be said of the application.
OF_A_PROGRAM = {"sockets", "tls", "tracers"}
OF_A_COMMAND_LINE = {"help", "target", "app_dir", "origins", "log_level", "log_json"}


def test_the_options_are_those_of_run() -> None:
    """By name: what the one takes the other takes, too."""
    parser = argparse.ArgumentParser()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse, "ArgumentParser", lambda **options: parser)
        parse(["chat:app"])
    of_the_command_line = {action.dest for action in parser._actions} - OF_A_COMMAND_LINE
    fields = {field.name for field in dataclasses.fields(RunOptions)} - {"limits"}
    assert of_the_command_line == fields - OF_A_PROGRAM | LIMITS
    assert {field.name for field in dataclasses.fields(Limits)} == LIMITS
    for action in parser._actions:
        if action.dest in fields:
            words = {word.removeprefix("--").replace("-", "_") for word in action.option_strings}
            singular = action.dest.replace("proxies", "proxy")
            assert words <= {action.dest, singular, "reuse_port"}


def test_run_takes_each_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the value that the command line makes of it, and to the same end."""
    made: list[RunOptions] = []

    def run(running: Running) -> int:
        made.append(running.options)
        return 0

    monkeypatch.setattr(Running, "run", run)
    application = App(origins="any")
    for words in SAMPLES:
        options = parse(["a:b", *words.split()]).run
        given = {
            field.name: getattr(options, field.name)
            for field in dataclasses.fields(RunOptions)
            if field.name != "limits" and getattr(options, field.name) != field.default
        }
        application.run(**given, **options.limits)
        assert made[-1] == options and (given or options.limits), words
    covered = {word.split("=")[0].split(" ")[0] for word in " ".join(SAMPLES).split()}
    for field in dataclasses.fields(RunOptions):
        if field.metadata:
            word = field.metadata.get("word", f"--{field.name.replace('_', '-')}")
            assert word in covered, f"no sample of {word}"


SAMPLES = (
    "--host ::1 --port 0 --backlog 10",
    "--unix /tmp/x",
    "--fd 3",
    "--certificate c --key k --client-ca a",
    "--trusted-proxy 127.0.0.1 --proxy-protocol",
    "--hosting asyncio",
    "--workers 3 --shared-socket",
    "--pid-file p",
    "--drain-seconds 1 --drain-rate 2.5 --close-code 1012",
    "--access-log --metrics 127.0.0.1:9100",
    "--max-connections 5 --keep-alive-seconds none",
)


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
        (
            ["--proxy-protocol", "--trusted-proxy=::1"],
            {"proxy_protocol": True, "trusted_proxies": ["::1"]},
        ),
    ],
)
def test_options(arguments: list[str], expected: dict[str, object]) -> None:
    options = parse(["a:b", *arguments])
    for name, value in expected.items():
        assert getattr(options if name in vars(options) else options.run, name) == value


def test_every_limit_has_its_option() -> None:
    given = parse(["a:b", "--max-connections=5", "--idle-seconds", "2.5", "--max-fragments=none"])
    limits = {"max_connections": 5, "idle_seconds": 2.5, "max_fragments": None}
    assert given.run.limits == limits
    for field in dataclasses.fields(Limits):
        words = [f"--{field.name.replace('_', '-')}", str(field.default).lower()]
        assert parse(["a:b", *words]).run.limits == {field.name: field.default}, words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "module:app"),
        (["a:b", "--origin", "example.com"], "example.com"),
        (["a:b", "--origin", "any", "--origin", "same"], '"any" stands alone'),
        (["a:b", "--max-message-bytes", "0"], "max_message_bytes is 0, not in 1.."),
        (["a:b", "--low-water-bytes", "1000000"], "are not in rising order"),
        (["chat"], "'chat' is not of the form module:attribute"),
        (["a:b", "--port", "65536"], "port is 65536, not in 0..65535"),
        (["a:b", "--port", "http"], "'http' is not a whole number"),
        (["a:b", "--workers", "0"], "workers is 0, not in 1..1024"),
        (["a:b", "--drain-seconds", "nan"], "drain_seconds is nan, not in 0.."),
        (["a:b", "--drain-seconds", "soon"], "'soon' is not a number"),
        (["a:b", "--drain-rate", "0"], "drain_rate is 0.0, not in 0.001.."),
        (["a:b", "--close-code", "1005"], "1005 must not be sent (RFC 6455 7.4)"),
        (["a:b", "--close-code", "bye"], "'bye' is not a whole number"),
        (["a:b", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["a:b", "--unix", "x", "--fd", "3"], "one of them"),
        (["a:b", "--reuse-port", "--shared-socket"], "not allowed with"),
        (["a:b", "--key", "x"], "key and client_ca go with certificate"),
        (["a:b", "--metrics", "9100"], "metrics is '9100', not HOST:PORT"),
        (["a:b", "--hosting", "trio"], "invalid choice: 'trio'"),
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
    for field in dataclasses.fields(RunOptions):
        if field.metadata:
            assert field.metadata.get("word", f"--{field.name.replace('_', '-')}") in printed
    for name in ("--origin", "--log-json", "--log-level", "--app-dir", "(8765)", "(25.0)"):
        assert name in printed


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
