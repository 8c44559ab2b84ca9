"""The options of wsfast-serve."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from wsfast.limits import Limits
from wsfast.origin import OriginPolicy
from wsfast.runoptions import RunOptions
from wsfast.serve.loading import split_target

__all__ = ["add_dataclass", "chosen", "parse"]

_LEVELS = ("debug", "info", "warning", "error", "critical")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read a command line; a mistake ends the program with 2 and a message, as argparse has it.

    Returns:
        target, app_dir, origins, log_level and log_json, and the `RunOptions` as `run`.
    """
    parser = argparse.ArgumentParser(
        prog="wsfast-serve",
        description="Serves WebSocket connections with an application: an App, an object with "
        "methods like on_message(ws, message), or a class of such objects. SIGTERM and SIGINT "
        "drain it, a second one ends it at once; with --workers SIGHUP restarts it, with new "
        "code, without refusing a connection.",
    )
    parser.add_argument("target", metavar="module:app", type=_target, help="what to serve")
    _add_application(parser)
    _add_run_options(parser)
    _add_logging(parser)
    add_dataclass(parser, Limits, "limits; a time of none or 0 is off, a number of none no limit")
    options = parser.parse_args(arguments)
    try:
        limits = chosen(options, Limits)
        Limits(**limits)  # raises for what cannot be
        options.run = RunOptions(**chosen(options, RunOptions), limits=limits)
        options.origins = _origins(options.origins)
    except ValueError as error:
        parser.error(str(error))
    return options


def _add_application(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the application")
    group.add_argument(
        "--app-dir", metavar="PATH", default="", help="where the module is looked for first (here)"
    )
    group.add_argument(
        "--origin",
        action="append",
        dest="origins",
        help="whose pages may connect: https://example.com, same (as the server), any; or none, "
        "for clients that are no browsers; again for more (same and none). An App has its own",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """An option for each field of `RunOptions` that can stand on a command line."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for field in dataclasses.fields(RunOptions):
        if not field.metadata:
            continue
        title = field.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        group: argparse._ActionsContainer = groups[title]
        if field.name == "shared_socket":
            group = groups[title].add_mutually_exclusive_group()
            group.add_argument(
                "--reuse-port",
                action="store_const",
                dest="shared_socket",
                const=False,
                default=argparse.SUPPRESS,
                help="a listening socket for each worker (default)",
            )
        _add_run_option(group, field)


def _add_run_option(group: argparse._ActionsContainer, field: dataclasses.Field[Any]) -> None:
    about = field.metadata
    kind = about.get("kind", str)
    more: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": field.name}
    default = "" if field.default in (None, (), False) else f" ({field.default})"
    if kind is bool:
        more["action"] = "store_true"
    else:
        more["metavar"] = about.get("metavar")
        more["choices"] = about.get("choices")
        more["type"] = _number(kind) if kind in (int, float) else None
        more["action"] = "append" if kind is list else "store"
    word = about.get("word", f"--{field.name.replace('_', '-')}")
    group.add_argument(word, help=f"{about['help']}{default}", **more)


def _origins(given: list[str] | None) -> list[str | None] | None:
    """The origins as `Server` takes them; None: those of the app, or its default."""
    if given is None:
        return None
    origins = [None if each == "none" else each for each in given]
    OriginPolicy(origins)  # raises if one is none
    return origins


def _add_logging(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("logs")
    group.add_argument("--log-level", choices=_LEVELS, default="info", help="(%(default)s)")
    group.add_argument("--log-json", action="store_true", help="a line of JSON for each record")


def add_dataclass(parser: argparse.ArgumentParser, cls: type, title: str) -> None:
    """An option for each field of a dataclass: `max_message_bytes` is --max-message-bytes.

    Args:
        parser: gets a group of them.
        cls: its fields are numbers, or numbers or None, which is "none" on the command line.
        title: of the group.
    """
    group = parser.add_argument_group(title)
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kinds = getattr(hints[field.name], "__args__", (hints[field.name],))
        kind = float if float in kinds else int
        default = "none" if field.default is None else field.default
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=_or_none(kind) if type(None) in kinds else kind,
            default=argparse.SUPPRESS,
            metavar=_metavar(field.name),
            help=f"({default})",
        )


def chosen(options: argparse.Namespace, cls: type) -> dict[str, Any]:
    """The fields of a dataclass that the command line names, for its constructor."""
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: value for name, value in vars(options).items() if name in names}


def _metavar(name: str) -> str:
    unit = name.rsplit("_", 1)[-1]
    return unit.upper() if unit in ("bytes", "seconds") else "N"


def _or_none(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return None if text == "none" else kind(text)

    read.__name__ = f"{kind.__name__} or none"
    return read


def _number(kind: type) -> Callable[[str], Any]:
    what = "a whole number" if kind is int else "a number"

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None

    return read


def _target(text: str) -> str:
    try:
        split_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
