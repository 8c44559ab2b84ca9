"""Reads and plays the frame dialogues of tests/golden; its README.md says how they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from wire import KEY, frame, frames_in, pieces
from wsfast.connection import Connection
from wsfast.errors import LocalProtocolError
from wsfast.events import Closed, Ping, Pong
from wsfast.rfc6455 import Opcode, Role

__all__ = ["Dialogue", "Played", "dialogues", "play", "without_offsets"]

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(max_message_bytes|max_fragments)=(\d+)")
HEX = re.compile(r"(?:[0-9a-f]{2})+")
REPEATED = re.compile(r'("[^"]*"|x\'[0-9a-f ]*\')(?:\*(\d+))?')


class Dialogue(NamedTuple):
    """One heading of a golden file.

    Attributes:
        name: file and heading.
        role: ours.
        options: of the Connection.
        steps: ("<", bytes) for what the peer sends, (">", call) for what we do.
        log: what must come of it, a line each.
    """

    name: str
    role: Role
    options: dict[str, int]
    steps: list[tuple[str, Any]]
    log: list[str]


class Played(NamedTuple):
    """What came of a dialogue: the log, and all that we sent."""

    log: list[str]
    sent: bytes


def dialogues(path: Path) -> list[Dialogue]:
    """All dialogues of a file: a heading, a script for a role, and the log."""
    found = []
    for section in path.read_text("utf-8").split("\n## ")[1:]:
        heading = section.partition("\n")[0]
        (role, options, script), (log, _, lines) = BLOCK.findall(section)
        if role not in ("server", "client") or log != "log":
            raise ValueError(f"{path.name}, {heading}: a server or client block, then a log block")
        found.append(
            Dialogue(
                f"{path.stem}: {heading}",
                Role[role.upper()],
                {name: int(value) for name, value in OPTION.findall(options)},
                [step(line, role) for line in script.splitlines() if line.strip()],
                lines.splitlines(),
            )
        )
    return found


def step(line: str, role: str) -> tuple[str, Any]:
    """One line of a script."""
    kind, _, text = line.partition(" ")
    if kind == "<":
        return kind, read_bytes(text, KEY if role == "server" else None)
    if kind == ">":
        return kind, text.split(" ", 1)
    raise ValueError(f"neither < nor >: {line}")


def literal(text: str) -> bytes:
    """ "text" in UTF-8 or x'hex', repeated by *n, several in a row."""
    found = b""
    for value, times in REPEATED.findall(text):
        one = value[1:-1].encode() if value[0] == '"' else bytes.fromhex(value[2:-1])
        found += one * int(times or 1)
    return found


def read_bytes(text: str, key: bytes | None) -> bytes:
    """Bytes in hex, or a frame by its opcode: `text! "Hel"` without FIN, `rsv4` `length=9`."""
    word, _, rest = text.partition(" ")
    if HEX.fullmatch(word):
        return bytes.fromhex(text.partition("#")[0])
    options: dict[str, Any] = {"key": key, "fin": not word.endswith("!")}
    for flag in re.findall(r"\b(rsv[1-7]|masked|unmasked|length=\d+|form=\d+)\b(?=[^\"]*$)", rest):
        name, _, value = flag.partition("=")
        if value:
            options[name] = int(value)
        elif name.startswith("rsv"):
            options["rsv"] = int(name[3:])
        else:
            options["key"] = KEY if name == "masked" else None
    payload = literal(rest)
    if word in ("close", "close!") and rest[:4].isdigit():
        payload = int(rest[:4]).to_bytes(2, "big") + payload
    name = word.rstrip("!")
    opcode = int(name[6:], 16) if name.startswith("opcode") else Opcode[name.upper()]
    return frame(opcode, payload, **options)


def shown(data: str | bytes) -> str:
    """A payload in a log: text in quotes, bytes in hex, long ones by their length."""
    if len(data) > 60:
        return f"{len(data)} {'characters' if isinstance(data, str) else 'bytes'}"
    return f'"{data}"' if isinstance(data, str) else f"x'{data.hex()}'"


def describe(event: Any) -> str:
    """An event as a log names it; a failure's reason is prose and is left to its section."""
    if isinstance(event, Closed):
        section = re.search(r"\(RFC 6455 ([\d.]+)\)", event.close_reason)
        reason = f"({section[1]})" if section else shown(event.close_reason)
        return f"closed {event.close_code} {reason}"
    if isinstance(event, Ping | Pong):
        return f"{type(event).__name__.lower()} {shown(event.payload)}"
    return f"{'text' if isinstance(event, str) else 'binary'} {shown(event)}"


def sent(data: bytes) -> str:
    """What we send: in hex; a Close of a failure by its code, what is long by its length."""
    opcode, _, _, payload = frames_in(data)[-1]
    if opcode == Opcode.CLOSE and (b"(RFC 6455 " in payload or b" exceeds " in payload):
        return f"sent close {int.from_bytes(payload[:2], 'big')} and the reason"
    return f"sent {data.hex(' ')}" if len(data) <= 40 else f"sent {len(data)} bytes"


def play(dialogue: Dialogue, size: int) -> Played:
    """Play it with the peer's bytes cut into pieces of `size` bytes (0: whole)."""
    options: dict[str, Any] = {**dialogue.options, "masking_keys": lambda: KEY}
    connection = Connection(dialogue.role, **options)
    lines: list[str] = []
    all_sent, offset = b"", 0
    for kind, what in dialogue.steps:
        for piece in pieces(what, size) if kind == "<" else [what]:
            if kind == "<":
                offset += len(piece)
                found = [describe(event) for event in connection.receive(piece)]
            else:
                found = act(connection, *piece)
            data = connection.data_to_send()
            found += [sent(data)] if data else []
            lines += [f"{offset} {line}" for line in found]
            all_sent += data
    return Played(lines, all_sent)


def act(connection: Connection, call: str, text: str = "") -> list[str]:
    """Do what a line with > says: send, text, binary, continuation, ping, pong, close, eof."""
    if call == "eof":
        return [describe(event) for event in connection.receive_eof()]
    arguments: list[Any] = [literal(text)]
    if call.startswith("close"):
        arguments = [int(text[:4]), literal(text).decode()] if text else []
    elif call.startswith(("send", "text", "continuation")) and text.startswith('"'):
        arguments = [arguments[0].decode()]
    name = "send" if call == "send" else f"send_{call.rstrip('!')}"
    fin = {"fin": not call.endswith("!")} if name[5:] in ("text", "binary", "continuation") else {}
    try:
        getattr(connection, name)(*arguments, **fin)
    except LocalProtocolError as error:
        section = re.search(r"\(RFC 6455 ([\d.]+)\)", str(error))
        return [f"refused ({section[1] if section else error})"]
    return []


def without_offsets(log: list[str]) -> list[str]:
    """What any cut has in common: a larger read sends at once what smaller ones send in turn."""
    lines = [line.partition(" ")[2] for line in log]
    return [line for line in lines if not line.startswith("sent ")]
