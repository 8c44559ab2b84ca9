"""wsfast.loadgen.program: commands by name, `echo` where none is named."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "rich"):
    pytest.importorskip(package)
click = pytest.importorskip("click")
program = pytest.importorskip("wsfast.loadgen.program")


@pytest.fixture
def called(monkeypatch):
    """The arguments with which the commands were called, instead of their work."""
    calls = []

    def command_for(name):
        @click.command(name, context_settings={"ignore_unknown_options": True})
        @click.argument("words", nargs=-1, type=click.UNPROCESSED)
        def command(words):
            calls.append((name, *words))

        return command

    monkeypatch.setattr(
        program.Program,
        "get_command",
        lambda self, ctx, name: command_for(name) if name in program.COMMANDS else None,
    )
    return calls


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("echo",)),
        (["ws://h/"], ("echo", "ws://h/")),
        (["-c", "5", "ws://h/"], ("echo", "-c", "5", "ws://h/")),
        (["echo", "-c", "5"], ("echo", "-c", "5")),
        (["serve", "--port", "1"], ("serve", "--port", "1")),
        (["selftest"], ("selftest",)),
    ],
)
def test_who_is_called(called, words, expected):
    program.program.main(words, standalone_mode=False)
    assert called == [expected]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command(option, capsys):
    with pytest.raises(SystemExit) as ended:
        program.program.main([option])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for name, (_, _, said) in program.COMMANDS.items():
        assert name in shown
        assert said[:30] in shown


def test_the_version(capsys):
    import wsfast

    with pytest.raises(SystemExit):
        program.program.main(["--version"])
    assert wsfast.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(program.COMMANDS))
def test_every_command_is_there(name):
    module, attribute, _ = program.COMMANDS[name]
    command = getattr(importlib.import_module(f"wsfast.loadgen.{module}"), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_that_completes(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        program.program.main(["--completion", shell])
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert "_WSFAST_BENCH_COMPLETE=" in script
    assert f"{shell}_complete" in script
    assert "wsfast-bench" in script


def test_a_shell_that_is_not_known(capsys):
    with pytest.raises(SystemExit) as ended:
        program.program.main(["--completion=cmd"])
    assert ended.value.code == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "incomplete", "some"),
    [
        ([], "", {"echo", "fanout", "selftest"}),
        ([], "fan", {"fanout"}),
        ([], "--", {"--rate", "--template", "--completion", "--config"}),
        (["fanout"], "--pub", {"--publishers"}),
        (["ws://h/"], "--temp", {"--template"}),
        (["echo", "--arrivals"], "", {"constant", "poisson"}),
        (["-c", "5"], "--frag", {"--fragments"}),
    ],
)
def test_what_words_are_completed_with(words, incomplete, some):
    from click.shell_completion import ShellComplete

    complete = ShellComplete(program.program, {}, "wsfast-bench", "_WSFAST_BENCH_COMPLETE")
    found = {item.value for item in complete.get_completions(words, incomplete)}
    assert some <= found
    assert all(value.startswith(incomplete) for value in found)


@pytest.mark.parametrize("name", sorted(set(program.COMMANDS) - {"selftest"}))
def test_help_has_examples_and_a_config_file(name, capsys):
    with pytest.raises(SystemExit) as ended:
        program.program.main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "wsfast-bench" in shown.partition("Example")[2]
    assert "--config FILE.toml" in shown
    assert "WSFAST_BENCH_CONFIG" in shown


@pytest.mark.parametrize("name", sorted(program.COMMANDS))
def test_every_option_is_in_the_documentation(name):
    page = Path(__file__).parents[2].joinpath("docs", "bench.md").read_text(encoding="utf-8")
    command = program.program.get_command(click.Context(program.program), name)
    named = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", page))
    missing = [
        parameter.opts
        for parameter in command.params
        if isinstance(parameter, click.Option) and not named.intersection(parameter.opts)
    ]
    assert not missing
