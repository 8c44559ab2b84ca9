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


GROUPS = (
    options.LOAD_OPTIONS,
    options.CONNECT_OPTIONS,
    options.HANDSHAKE_OPTIONS,
    options.RESULT_OPTIONS,
)


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
    @options.with_options(*GROUPS)
    def command(**given):
        """Never called."""

    names = [parameter.name for parameter in command.params]
    assert names[0] == "duration"
    assert names[-1] == "quiet"
    assert len(names) == len(set(names)) == sum(map(len, GROUPS))


def test_no_two_options_share_a_flag():
    @click.command()
    @options.with_options(*GROUPS)
    def command(**given):
        """Never called."""

    flags = [flag for parameter in command.params for flag in parameter.opts]
    assert len(flags) == len(set(flags))
    assert all(parameter.help for parameter in command.params)


@pytest.mark.parametrize(
    ("text", "header"),
    [("A: b", ("A", "b")), ("A:b:c", ("A", "b:c")), ("X-Empty:", ("X-Empty", ""))],
)
def test_headers(text, header):
    assert options.parse_header(text) == header


@pytest.mark.parametrize("text", ["Name value", ": value", ""])
def test_what_is_no_header(text):
    with pytest.raises(ValueError, match="no header like"):
        options.parse_header(text)


def test_tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("one\n\n two \nthree")
    assert options.read_tokens(str(path)) == ["one", "two", "three"]
    path.write_text("\n")
    with pytest.raises(ValueError, match="holds no token"):
        options.read_tokens(str(path))
    with pytest.raises(ValueError, match="cannot be read"):
        options.read_tokens(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("text", "answers"),
    [("0", (0, None)), ("3", (3, None)), ("prefix:ok", (1, "ok")), ("prefix:a:b", (1, "a:b"))],
)
def test_answers_to_a_first_message(text, answers):
    assert options.parse_answers(text) == answers


@pytest.mark.parametrize("text", ["", "-1", "many", "prefix:", "prefix", "1.5", "²", str(2**31)])
def test_what_no_answer_can_be(text):
    with pytest.raises(ValueError, match="neither a number of messages nor prefix:TEXT"):
        options.parse_answers(text)


def test_a_first_message_from_a_file(tmp_path):
    path = tmp_path / "login.json"
    path.write_text('{"login": "ü"}', encoding="utf-8")
    assert options.read_first(f"@{path}") == '{"login": "ü"}'
    assert options.read_first("me@home") == "me@home"
    with pytest.raises(ValueError, match="absent cannot be read: No such file"):
        options.read_first(f"@{tmp_path}/absent")
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="no UTF-8"):
        options.read_first(f"@{path}")
