"""wsfast-bench: a group of commands, of which `echo` is meant where none is named."""

from __future__ import annotations

import importlib

import click
from click.shell_completion import CompletionItem, get_completion_class

from wsfast import __version__
from wsfast.loadgen.configfile import CONFIG

__all__ = ["COMMANDS", "program"]

#: Every command: the module that holds it (imported when it is used), its name there, and what
#: it does.
COMMANDS = {
    "echo": ("command", "command", "Measure an echo server (the default)."),
    "ping": ("ping", "command", "Measure the round trip of ping and pong."),
    "idle": ("ping", "idle", "Hold connections, and report those that die."),
    "fanout": ("fanout", "command", "Publish, and measure the delivery to every subscriber."),
    "recv": ("fanout", "recv", "Measure what comes by itself."),
    "connect": ("connect", "command", "Open connections, hold them, close them."),
    "search": ("search", "command", "Find the highest rate at which a condition holds."),
    "run": ("planfile", "command", "Run the phases of a plan in TOML."),
    "compare": ("compare", "command", "Show the figures of runs side by side."),
    "serve": ("serve", "command", "Run a test server, with faults if you like."),
    "doctor": ("doctor", "command", "Say what this host lacks for so many connections."),
    "selftest": (
        "selftest",
        "command",
        "Prove the instrument on servers whose latency is known.",
    ),
}

EPILOG = """
\b
Examples:
  wsfast-bench                                  against an echo server of its own
  wsfast-bench ws://localhost:8000/ -c 10k -p 4
  wsfast-bench ws://localhost:8000/ -c 1k -r 20k -d 1m --warmup 5s
  wsfast-bench serve --port 9000 --stall 100ms/1s
\b
`wsfast-bench COMMAND --help` says more; `wsfast-bench echo --help` has the options of a load.
"""


class Program(click.Group):
    """Finds commands by name; the first word that is none belongs to `echo`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"{__package__}.{module}"), name)
        if CONFIG not in command.params:
            command.params.append(CONFIG)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        completing = ctx.resilient_parsing and not args  # the first word may still become any
        first = args[0].partition("=")[0] if args else ""
        if not completing and first not in COMMANDS and first not in OWN_OPTIONS:
            args = ["echo", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands; of options those of `echo`, too, which need not be named."""
        found = super().shell_complete(ctx, incomplete)
        echo = self.get_command(ctx, "echo")
        if incomplete.startswith("-") and echo is not None:
            known = {item.value for item in found}
            beside = echo.shell_complete(click.Context(echo, parent=ctx), incomplete)
            found += [item for item in beside if item.value not in known]
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, _, said) in COMMANDS.items()])


OWN_OPTIONS = frozenset({"-h", "--help", "--version", "--completion"})
NAME = "wsfast-bench"


def print_completion(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:
    """A callback of click: print the script that makes a shell complete our words, and exit."""
    completion = get_completion_class(shell) if shell is not None else None
    if completion is None or ctx.resilient_parsing:
        return
    click.echo(completion(ctx.command, {}, NAME, "_WSFAST_BENCH_COMPLETE").source())
    ctx.exit()


@click.group(cls=Program, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=NAME)
@click.option(
    "--completion",
    type=click.Choice(["bash", "zsh", "fish"]),
    is_eager=True,
    expose_value=False,
    callback=print_completion,
    help="Print the script that makes a shell complete the words of wsfast-bench.",
)
def program() -> None:
    """Load WebSocket servers, and say what the numbers are worth."""
