"""The options of wsfast-serve."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from wsfast.limits import Limits
from wsfast.origin import OriginPolicy
from wsfast.rfc6455 import CloseCode, is_sendable_close_code
from wsfast.serve.loading import split_target

__all__ = ["add_dataclass", "chosen", "parse"]

_LEVELS = ("debug", "info", "warning", "error", "critical")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read a command line; a mistake ends the program with 2 and a message, as argparse has it."""
    parser = argparse.ArgumentParser(
        prog="wsfast-serve",
        description="Serves WebSocket connections with an application: an App, an object with "
        "methods like on_message(ws, message), or a class of such objects. SIGTERM and SIGINT "
        "drain it, a second one ends it at once; with --workers SIGHUP restarts it, with new "
        "code, without refusing a connection.",
    )
    parser.add_argument("target", metavar="module:app", type=_target, help="what to serve")
    _add_listening(parser)
    _add_tls(parser)
    _add_proxies(parser)
    _add_processes(parser)
    _add_ending(parser)
    _add_logging(parser)
    add_dataclass(parser, Limits, "limits; a time of none or 0 is off, a number of none no limit")
    options = parser.parse_args(arguments)
    try:
        options.limits = Limits(**chosen(options, Limits))
        options.origins = _origins(options.origins)
    except ValueError as error:
        parser.error(str(error))
    if options.certificate is None and (options.key or options.client_ca):
        parser.error("--key and --client-ca go with --certificate")
    if options.unix is not None and options.fd is not None:
        parser.error("--unix and --fd both say where to listen: one of them")
    return options


def _add_listening(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where it listens; sockets that systemd passed come first")
    group.add_argument("--host", default="127.0.0.1", help="address or name (%(default)s)")
    group.add_argument(
        "--port", type=_number(int, 0, 65535), default=8765, help="0: a free one (%(default)s)"
    )
    group.add_argument("--unix", metavar="PATH", help="a Unix domain socket instead")
    group.add_argument(
        "--fd", type=_number(int, 0, 1 << 20), help="an inherited descriptor that listens, instead"
    )
    group.add_argument(
        "--origin",
        action="append",
        dest="origins",
        help="whose pages may connect: https://example.com, same (as the server), any; or none, "
        "for clients that are no browsers; again for more (same and none). An App has its own",
    )


def _add_tls(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("TLS")
    group.add_argument("--certificate", metavar="FILE", help="speak wss:// with it")
    group.add_argument("--key", metavar="FILE", help="its key, if that file does not hold it")
    group.add_argument(
        "--client-ca", metavar="PATH", help="let in only clients with a certificate of these"
    )


def _add_proxies(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("behind a proxy")
    group.add_argument(
        "--trusted-proxy",
        metavar="ADDRESS",
        action="append",
        dest="trusted_proxies",
        default=[],
        help="an address, a network, or unix: what it says of the client is believed; again for "
        "more (nobody)",
    )
    group.add_argument(
        "--proxy-protocol", action="store_true", help="it sends PROXY headers, version 1 or 2"
    )


def _origins(given: list[str] | None) -> list[str | None] | None:
    """The origins as `Server` takes them; None: those of the app, or its default."""
    if given is None:
        return None
    origins = [None if each == "none" else each for each in given]
    OriginPolicy(origins)  # raises if one is none
    return origins


def _add_processes(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("processes")
    group.add_argument(
        "--app-dir", metavar="PATH", default="", help="where the module is looked for first (here)"
    )
    group.add_argument(
        "--workers", type=_number(int, 1, 1024), help="processes under a supervisor (none, one)"
    )
    group.add_argument(
        "--hosting",
        choices=("alone", "asyncio", "uvloop"),
        help="whose loop it runs on (alone, our own; asyncio if the application has coroutines)",
    )
    sharing = group.add_mutually_exclusive_group()
    sharing.add_argument(
        "--reuse-port",
        action="store_const",
        dest="shared_socket",
        const=False,
        default=False,
        help="a listening socket for each worker; the kernel spreads connections (default)",
    )
    sharing.add_argument(
        "--shared-socket",
        action="store_const",
        const=True,
        default=False,
        help="one for all: whoever is awake accepts",
    )
    group.add_argument("--pid-file", metavar="PATH", help="write the process id there")


def _add_ending(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the end")
    group.add_argument(
        "--drain-seconds",
        metavar="SECONDS",
        type=_number(float, 0.0, 1e6),
        default=25.0,
        help="after so long what is left is cut (%(default)s)",
    )
    group.add_argument(
        "--drain-rate",
        metavar="N",
        type=_number(float, 1e-3, 1e9),
        help="connections closed a second, by each worker (all at once)",
    )
    group.add_argument(
        "--close-code",
        type=_close_code,
        default=int(CloseCode.GOING_AWAY),
        help="what they are told (%(default)s); 1012 in any case if new workers take over",
    )


def _add_logging(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("logs, on standard error")
    group.add_argument("--log-level", choices=_LEVELS, default="info", help="(%(default)s)")
    group.add_argument("--log-json", action="store_true", help="a line of JSON for each record")
    group.add_argument(
        "--access-log", action="store_true", help="a record for each handshake and each close"
    )


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


def _number(kind: type, least: float, most: float) -> Callable[[str], Any]:
    what = "a whole number" if kind is int else "a number"

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
        if math.isnan(value) or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not in {least:g}..{most:g}")
        return value

    return read


def _close_code(text: str) -> int:
    if not text.isdecimal() or not is_sendable_close_code(int(text)):
        raise argparse.ArgumentTypeError(f"{text} must not be sent (RFC 6455 7.4)")
    return int(text)


def _target(text: str) -> str:
    try:
        split_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
