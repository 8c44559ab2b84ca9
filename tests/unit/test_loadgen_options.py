"""wsfast.loadgen.options: how values are read; what they do is in test_loadgen_command.py."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
click = pytest.importorskip("click")
options = pytest.importorskip("wsfast.loadgen.options")


@pytest.mark.parametrize(("text", "percent"), [("10%", 10.0), ("0", 0.0), ("2.5%", 2.5)])
def test_percentages(text, percent):
    assert options.parse_percentage(text) == percent


@pytest.mark.parametrize("text", ["-1%", "much", "nan", ""])
def test_what_is_no_percentage(text):
    with pytest.raises(ValueError):
        options.parse_percentage(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9100", ("127.0.0.1", 9100)), (":0", ("", 0)), ("::1:80", ("::1", 80))],
)
def test_addresses(text, address):
    assert options.parse_address(text) == address


@pytest.mark.parametrize("text", ["9100", "host:", "host:http", ":65536"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="PORT"):
        options.parse_address(text)


def test_options_stand_in_the_order_of_their_groups():
    @click.command()
    @options.with_options(options.LOAD_OPTIONS, options.RESULT_OPTIONS)
    def command(**given):
        """Never called."""

    names = [parameter.name for parameter in command.params]
    assert names[0] == "connections"
    assert names[-1] == "quiet"
    assert len(names) == len(set(names)) == len(options.LOAD_OPTIONS + options.RESULT_OPTIONS)


def test_no_two_options_share_a_flag():
    @click.command()
    @options.with_options(options.LOAD_OPTIONS, options.RESULT_OPTIONS)
    def command(**given):
        """Never called."""

    flags = [flag for parameter in command.params for flag in parameter.opts]
    assert len(flags) == len(set(flags))
    assert all(parameter.help for parameter in command.params)
