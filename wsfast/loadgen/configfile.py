"""`--config FILE.toml`: options in a file, by their long names.

connections = "1k"               # of every command that has the option
header = ["X-Run: 7"]            # what may come several times is a list

[echo]                           # of this command only
rate = "5k"

What stands on the command line wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from wsfast.loadgen.tomlfile import read_toml

__all__ = ["CONFIG", "option_names", "values_for"]


def option_names(command: click.Command) -> dict[str, click.Parameter]:
    """The parameters of a command by long option, without dashes; arguments by name."""
    found: dict[str, click.Parameter] = {}
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            found[str(parameter.name)] = parameter
        elif parameter is not CONFIG:
            longs = (flag[2:] for flag in parameter.opts if flag.startswith("--"))
            found.update(dict.fromkeys(longs, parameter))
    return found


def values_for(ctx: click.Context, table: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The values of a file for the command of a context, by the names of its parameters.

    Raises:
        ValueError: a key is no option, or its value is none; the message names file and key.
    """
    commands = commands_beside(ctx)
    known = option_names(ctx.command)
    own: Mapping[str, Any] = {}
    values = {}
    for key, value in table.items():
        if isinstance(value, dict):
            if key not in commands:
                raise ValueError(f"{path}: [{key}] is no command of wsfast-bench")
            own = value if key == ctx.info_name else own
        elif key in known:
            values[str(known[key].name)] = value_of(known[key], value, f"{path}: {key}")
        elif not any(key in option_names(each) for each in commands.values()):
            raise ValueError(f"{path}: {key!r} is no option of wsfast-bench")
    for key, value in own.items():
        if key not in known:
            raise ValueError(f"{path}: {key!r} in [{ctx.info_name}] is no option of this command")
        where = f"{path}: {key} in [{ctx.info_name}]"
        values[str(known[key].name)] = value_of(known[key], value, where)
    return values


def commands_beside(ctx: click.Context) -> dict[str, click.Command]:
    """All commands of the program by name, imported where need be."""
    group = None if ctx.parent is None else ctx.parent.command
    if ctx.parent is None or not isinstance(group, click.Group):
        return {str(ctx.info_name): ctx.command}
    found = {name: group.get_command(ctx.parent, name) for name in group.list_commands(ctx.parent)}
    return {name: command for name, command in found.items() if command is not None}


def value_of(parameter: click.Parameter, value: object, where: str) -> object:
    """A value as the command line would give it: a flag as bool, all else as text or texts.

    Raises:
        ValueError: it is none for this option.
    """
    is_flag = isinstance(parameter, click.Option) and parameter.is_flag
    if is_flag or isinstance(value, bool):
        if not (is_flag and isinstance(value, bool)):
            kind = "true or false" if is_flag else "a text or a number"
            raise ValueError(f"{where} takes {kind}, not {value!r}")
        return value
    many = (isinstance(parameter, click.Option) and parameter.multiple) or parameter.nargs == -1
    values = value if isinstance(value, list) else [value]
    if (len(values) != 1 and not many) or any(isinstance(one, list | dict) for one in values):
        raise ValueError(f"{where} takes {'texts' if many else 'one text'}, not {value!r}")
    return [str(one) for one in values] if many else str(values[0])


def read_config(ctx: click.Context, param: click.Parameter, path: str | None) -> None:
    """A callback of click: what the file says are defaults from here on.

    Raises:
        click.BadParameter: it cannot be read, or a key is wrong.
    """
    if path is None or ctx.resilient_parsing:
        return
    try:
        values = values_for(ctx, read_toml(path), path)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    ctx.default_map = {**(ctx.default_map or {}), **values}


#: The option, for every command.
CONFIG = click.Option(
    ["--config"],
    metavar="FILE.toml",
    is_eager=True,
    expose_value=False,
    envvar="WSFAST_BENCH_CONFIG",
    show_envvar=True,
    callback=read_config,
    help="Options by their long names; what stands on the command line wins.",
)
