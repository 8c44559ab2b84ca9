"""wsfast.loadgen.configfile: options from a file, the command line first, nothing unknown."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
click = pytest.importorskip("click")
configfile = pytest.importorskip("wsfast.loadgen.configfile")


@pytest.fixture
def program(monkeypatch):
    """Two commands that keep what they were called with, and a way to call them."""
    calls = []

    @click.group()
    def group():
        """Commands."""

    @group.command("echo")
    @click.argument("url", required=False)
    @click.option("-r", "--rate")
    @click.option("-H", "--header", "headers", multiple=True)
    @click.option("-t", "--text", is_flag=True)
    @click.option("-c", "--connections", default="100")
    @click.option("--least", type=click.IntRange(min=3))
    def echo(**given):
        calls.append(given)

    @group.command("serve")
    @click.option("--port", default="0")
    def serve(**given):
        calls.append(given)

    for command in (echo, serve):
        command.params.append(configfile.CONFIG)

    def run(*words, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        group.main(list(words), standalone_mode=False)
        return calls[-1]

    return run


@pytest.fixture
def written(tmp_path):
    def write(text, name="bench.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_values_of_every_kind(program, written):
    path = written(
        'url = "ws://h/"\nrate = 500\nheader = ["A: b", "C: ü"]\ntext = true\nleast = 5\n'
        "connections = 1.5\n"
    )
    found = program("echo", "--config", path)
    assert found == {
        "url": "ws://h/",
        "rate": "500",
        "headers": ("A: b", "C: ü"),
        "text": True,
        "least": 5,
        "connections": "1.5",
    }


def test_what_may_come_several_times_may_come_once(program, written):
    assert program("echo", "--config", written('header = "A: b"'))["headers"] == ("A: b",)


def test_the_command_line_wins(program, written):
    path = written('url = "ws://h/"\nrate = "5k"\nheader = ["A: b"]\nconnections = "1k"')
    found = program("echo", "ws://other/", "-r", "7", "-H", "X: y", "--config", path)
    assert (found["url"], found["rate"], found["headers"]) == ("ws://other/", "7", ("X: y",))
    assert found["connections"] == "1k"


def test_a_table_is_for_its_command_and_wins_over_what_is_for_all(program, written):
    path = written('rate = 1\nport = 9\n[echo]\nrate = 2\n[serve]\nport = "10"\n')
    assert program("echo", "--config", path)["rate"] == "2"
    assert program("serve", "--config", path) == {"port": "10"}


def test_a_key_of_another_command_is_let_be(program, written):
    assert program("serve", "--config", written("rate = 1\nport = 5")) == {"port": "5"}


def test_the_environment_names_the_file(program, written):
    path = written("rate = 3")
    assert program("echo", WSFAST_BENCH_CONFIG=path)["rate"] == "3"
    other = written("rate = 4", "other.toml")
    assert program("echo", "--config", other, WSFAST_BENCH_CONFIG=path)["rate"] == "4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rates = 5", "bench.toml: 'rates' is no option of wsfast-bench"),
        ("[echo]\nport = 5", r"bench.toml: 'port' in \[echo\] is no option of this command"),
        ("[ping-pong]\nrate = 5", r"bench.toml: \[ping-pong\] is no command"),
        ("headers = []", "'headers' is no option"),
        ("config = 'x'", "'config' is no option"),
        ("rate = true", "bench.toml: rate takes a text or a number, not True"),
        ("text = 'yes'", "bench.toml: text takes true or false, not 'yes'"),
        ("rate = [1, 2]", "bench.toml: rate takes one text"),
        ("header = [[1]]", "bench.toml: header takes texts"),
        ("[echo]\nrate = []", r"rate in \[echo\] takes one text"),
        ("least = 1", "1 is not in the range"),
        ("rate = = 5", "bench.toml: "),
    ],
)
def test_what_is_wrong_is_refused_by_name(program, written, text, message):
    with pytest.raises(click.UsageError, match=message):
        program("echo", "--config", written(text))


def test_a_file_that_is_not_there(program):
    with pytest.raises(click.UsageError, match="absent.toml cannot be read"):
        program("echo", "--config", "absent.toml")


def test_names_are_the_long_options():
    @click.command()
    @click.argument("url")
    @click.option("-f", "--file", "message_file")
    @click.option("--yes/--no", "sure")
    def command(**given):
        """Never called."""

    names = configfile.option_names(command)
    assert set(names) == {"url", "file", "yes"}
    assert names["file"].name == "message_file"


def test_every_option_of_every_command_can_stand_in_a_file():
    from wsfast.loadgen.program import COMMANDS, program

    ctx = click.Context(program)
    for name in COMMANDS:
        names = configfile.option_names(program.get_command(ctx, name))
        assert "config" not in names
        assert all(parameter.name for parameter in names.values())
        assert name not in names or name in ("connect",), "a table would hide an option"
