"""wsfast.loadgen.serve: its options, and its life as a process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "rich"):
    pytest.importorskip(package)
serve = pytest.importorskip("wsfast.loadgen.serve")

from wsfast.loadgen.embedded import read_address  # noqa: E402


@pytest.mark.parametrize(
    ("text", "delays"),
    [("5ms", ((0.005, 1.0),)), ("1ms:9,50ms:1", ((0.001, 9.0), (0.05, 1.0)))],
)
def test_delays(text, delays):
    assert serve.parse_delays(text) == delays


def test_stalls():
    assert serve.parse_stall("100ms/1s") == (0.1, 1.0)


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.5", 0.5), ("0", 0.0), ("100%", 1.0)]
)
def test_shares(text, share):
    assert serve.parse_share(text) == share


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (serve.parse_delays, "5"[:0]),
        (serve.parse_delays, "5ms:0"),
        (serve.parse_delays, "5ms:x"),
        (serve.parse_stall, "100ms"),
        (serve.parse_stall, "1s/1s"),
        (serve.parse_share, "101%"),
        (serve.parse_share, "-1%"),
        (serve.parse_share, "some"),
    ],
)
def test_what_cannot_be_read(parse, text):
    with pytest.raises(ValueError):
        parse(text)


def start(*options):
    command = [sys.executable, "-m", "wsfast.loadgen", "serve", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number):
    with start("--mode", "ticker", "--rate", "50") as process:
        assert read_address(process).startswith("ws://127.0.0.1:")
        process.send_signal(number)
        assert process.wait(200) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--drop", "2"], b"is not within 0 to 100 %"),
        (["--stall", "5s/1s"], b"stalls all the time"),
        (["--rate", "0"], b"is not more than 0"),
        (["--mode", "chat"], b"chat"),
    ],
)
def test_usage_errors(options, said):
    with start(*options) as process:
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in out


def test_an_address_that_is_not_ours():
    with start("--host", "192.0.2.1") as process:
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"wsfast-bench serve: " in out
