"""The options of wsfast-echo; tests/system/test_echo_program.py runs it."""

from __future__ import annotations

import pytest

from wsfast.echo import cli


def parse(*arguments: str) -> dict[str, object]:
    return vars(cli._parse(arguments))


def test_defaults() -> None:
    assert parse() == {
        "host": "127.0.0.1",
        "port": 8765,
        "unix": None,
        "workers": 1,
        "max_message_bytes": 16 << 20,
        "certificate": None,
        "key": None,
    }


def test_options() -> None:
    given = parse("--host", "::1", "--port=0", "--workers=3", "--max-message-bytes", "5")
    assert list(given.values()) == ["::1", 0, None, 3, 5, None, None]
    given = parse("--certificate", "chain.pem", "--key", "key.pem")
    assert (given["certificate"], given["key"]) == ("chain.pem", "key.pem")
    assert parse("--unix", "path")["unix"] == "path"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "65536"], "65536 is not in 0..65535"),
        (["--port", "-1"], "-1 is not in 0..65535"),
        (["--port", "http"], "'http' is not a whole number"),
        (["--workers", "1.5"], "'1.5' is not a whole number"),
        (["--max-message-bytes", "16k"], "'16k' is not a whole number"),
        (["--workers", "0"], "0 is not in 1..1024"),
        (["--workers", "9999"], "9999 is not in 1..1024"),
        (["--max-message-bytes", "0"], "0 is less than 1"),
        (["--unix", "path", "--workers", "2"], "cannot be shared"),
        (["--key", "key.pem"], "--key goes with --certificate"),
        (["--nonsense"], "--nonsense"),
        (["stray"], "stray"),
    ],
)
def test_usage_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(*arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse("--help")
    assert raised.value.code == 0
    printed = capsys.readouterr().out
    for option in ("--host", "--port", "--unix", "--workers", "--max-message-bytes", "--key"):
        assert option in printed


@pytest.mark.parametrize(("workers", "held"), [(1, "990"), (4, "3,960")])
def test_what_it_can_hold(workers: int, held: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli._announce("ws://a/", 1000, 10, workers)
    listening, holds = capsys.readouterr().out.splitlines()
    assert listening == "listening on ws://a/"
    assert holds.startswith(f"can hold {held} connections: {workers} process")


def test_it_cannot_hold_less_than_none(capsys: pytest.CaptureFixture[str]) -> None:
    cli._announce("ws://a/", 10, 20, 1)
    assert "can hold 0 connections" in capsys.readouterr().out
