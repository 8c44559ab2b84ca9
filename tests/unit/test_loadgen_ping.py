"""wsfast.loadgen.ping: both commands become a plan of pings."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
for package in ("hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
click = pytest.importorskip("click")
ping = pytest.importorskip("wsfast.loadgen.ping")

URL = "ws://127.0.0.1:9/"


@pytest.fixture
def asked(monkeypatch):
    """The options with which a run was asked for, instead of the run."""
    runs = []

    def run(url, options):
        runs.append((url, options))
        return 0

    monkeypatch.setattr(ping, "run", run)
    return runs


def invoke(command, *arguments):
    try:
        command.main(list(arguments), standalone_mode=False)
    except SystemExit as ended:
        return ended.code
    raise AssertionError("a command ends with its exit status")


def test_ping_takes_the_options_of_a_load(asked):
    assert invoke(ping.command, URL, "-c", "5", "-r", "10", "-s", "125") == 0
    ((url, options),) = asked
    assert url == URL
    assert (options["mode"], options["connections"], options["rate"]) == ("ping", 5, 10)


def test_a_ping_holds_125_bytes(asked):
    with pytest.raises(click.UsageError, match="--size 126 is more than the 125 bytes"):
        invoke(ping.command, URL, "-s", "126")
    with pytest.raises(click.UsageError, match="--size 200 is more than the 125 bytes"):
        invoke(ping.command, URL, "-m", "x" * 200)
    assert not asked


def test_idle_spreads_its_pings_over_the_interval(asked):
    assert invoke(ping.idle, URL, "-c", "20k", "--ping-interval", "10s", "-d", "2m") == 0
    ((_, options),) = asked
    assert (options["rate"], options["duration"], options["mode"]) == (2000.0, 120.0, "ping")
    assert options["size"].most == 8


def test_idle_has_every_option_that_a_run_reads(asked):
    invoke(ping.command, URL)
    invoke(ping.idle, URL)
    (_, load), (_, idle) = asked
    assert load.keys() == idle.keys()
    assert idle.keys() <= load.keys()
