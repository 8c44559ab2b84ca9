"""Logs: records as lines of JSON, and the access log.

wsfast logs by the standard library's logging: "wsfast" says what goes wrong, "wsfast.supervisor"
what becomes of worker processes, and "wsfast.access" who connects, if a server has `AccessLog` as
one of its tracers.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from typing import Any, TextIO

from wsfast.endpoint import Endpoint
from wsfast.tracing import Ending, Handshake

__all__ = ["AccessLog", "JsonFormatter", "configure", "escape"]

_MOST_CHARACTERS = 1024

#: What every record has; the rest was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(
    level: str = "info", *, as_json: bool = False, stream: TextIO | None = None
) -> logging.Handler:
    """Let all loggers write to a stream: for programs, not for libraries.

    Args:
        level: name of the least level that is written.
        as_json: a line of JSON for each record.
        stream: standard error by default.

    Returns:
        The handler, which is the root logger's only one now.

    Raises:
        ValueError: there is no such level.
    """
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise ValueError(f"level is {level!r}, not one of debug, info, warning, error, critical")
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    plain = logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else plain)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    return handler


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, logger, process, message, and what was extra.

    The time is UTC. An exception is the text of its traceback. A value that JSON does not have
    stands as its repr, and an extra field that is called like one of ours gets a "_" behind it.
    """

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        fields: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        for name, value in extra.items():
            fields[f"{name}_" if name in fields else name] = value
        return _to_json(fields)


def _to_json(fields: dict[str, Any]) -> str:
    try:
        return json.dumps(fields, allow_nan=False, default=_shown)
    except (TypeError, ValueError, RecursionError):  # a key, a NaN, a circle
        return json.dumps({str(name): _plain(value) for name, value in fields.items()})


def _plain(value: object) -> object:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return _shown(value)
    return value


def _shown(value: object) -> str:
    """Its repr; logging must not fail for an object that has none."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} without a repr>"


def escape(text: str) -> str:
    """What a peer sent, for a line of text: no control character, no quote, not without end."""
    shown = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
    if shown.isprintable() and '"' not in shown and "\\" not in shown:
        return shown
    return "".join(
        c
        if c.isprintable() and c not in '"\\'
        else f"\\{c}"
        if c in '"\\'
        else c.encode("unicode_escape").decode("ascii")
        for c in shown
    )


class AccessLog:
    """A tracer that logs one record for each opening handshake, and one for each close.

    The fields are the record's extra ones, so `JsonFormatter` keeps them apart: event
    ("handshake", "failed" or "close"), client, method, path, and seconds: of the handshake, or of
    the connection. Of a handshake also status and subprotocol, of a close all of
    `tracing.Ending`: who closed, and messages and bytes both ways. The record of a close comes
    when its socket is closed, so that nothing is missing in it.

    Args:
        logger: of the records, at the level INFO.
    """

    def __init__(self, logger: str = "wsfast.access") -> None:
        self._log = logging.getLogger(logger)
        self._begun: dict[Endpoint, tuple[str, float]] = {}
        self._open: dict[Endpoint, tuple[str, str]] = {}

    def on_handshake_start(self, ws: Endpoint) -> None:
        """Nothing is logged; the address is gone once the connection is."""
        self._begun[ws] = (_shown_address(ws.remote_address), time.monotonic())

    def on_handshake_end(self, ws: Endpoint, handshake: Handshake) -> None:
        """One record, with the status; what is open is kept in mind for its close."""
        client, _ = self._begun.pop(ws)
        if handshake.request is not None:  # what proxies said of the client is known by now
            client = _shown_address(handshake.request.client_address)
        path = escape(handshake.target.partition("?")[0])  # a query may hold a token
        if handshake.status == 101:
            self._open[ws] = (client, path)
        self._write(
            "handshake",
            '{client} "{method} {path}" {status} {subprotocol} {seconds:.6f}',
            client=client,
            method=escape(handshake.method),
            path=path,
            status=handshake.status,
            subprotocol=handshake.subprotocol,
            seconds=handshake.seconds,
        )

    def on_handshake_failed(self, ws: Endpoint, error: Exception) -> None:
        """One record, with the reason; none for a connection that never sent a byte."""
        self._open.pop(ws, None)  # another tracer raised when it was to open
        if ws in self._begun:
            client, begun = self._begun.pop(ws)
            self._write(
                "failed",
                '{client} failed "{error}" {seconds:.6f}',
                client=client,
                error=escape(str(error)),
                seconds=time.monotonic() - begun,
            )

    def on_end(self, ws: Endpoint, ending: Ending) -> None:
        """One record, with code and reason as the other end sent them."""
        client, path = self._open.pop(ws)
        self._write(
            "close",
            '{client} "{method} {path}" closed {close_code} "{close_reason}" {seconds:.6f} '
            "by {closed_by} received {messages_received}/{bytes_received} "
            "sent {messages_sent}/{bytes_sent}",
            client=client,
            method="GET",  # no other opens one
            path=path,
            **ending._replace(close_reason=escape(ending.close_reason))._asdict(),
        )

    def _write(self, event: str, form: str, **fields: Any) -> None:
        if self._log.isEnabledFor(logging.INFO):
            shown = {name: "-" if value is None else value for name, value in fields.items()}
            self._log.info("%s", form.format(**shown), extra={"event": event, **fields})


def _shown_address(address: object) -> str:
    """An address as text; "-" if there is none any more, or it is a Unix socket."""
    if not isinstance(address, tuple):
        return "-"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
