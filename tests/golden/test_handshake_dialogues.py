"""Runs the dialogues of handshake-*.md, whole and cut into 1, 2, 3 and 7 bytes."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from wsfast.handshake import Accepted, ClientHandshake, Refusal, Request, ServerHandshake

HERE = Path(__file__).parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[rnt0\\])")
SIZES = [None, 1, 2, 3, 7]


class Dialogue(NamedTuple):
    """One case: its heading, what the peer sends, and the lines of what follows."""

    name: str
    sent: bytes
    expected: list[str]


def unescape(text: str) -> bytes:
    """The bytes of a block: CR LF behind each line that does not end with a lone backslash."""
    joined = "".join(re.sub(r"\\\r\n$", "", f"{line}\r\n") for line in text.splitlines())
    plain = ESCAPE.sub(lambda escape: str(ast.literal_eval(f"'{escape[0]}'")), joined)
    return plain.encode("latin-1")


def dialogues(file: str) -> list[Dialogue]:
    """The cases of a file: a heading, a block of bytes, a block of what is expected."""
    cases = []
    for section in (HERE / file).read_text("utf-8").split("\n## ")[1:]:
        (_, sent), (kind, expected) = BLOCK.findall(section)
        assert kind == "answer"
        cases.append(Dialogue(section.partition("\n")[0], unescape(sent), expected.splitlines()))
    return cases


def feed(handshake, data, size):
    """Feed in pieces up to the end, or until there is a result that ignores the rest."""
    size = size or len(data)
    result = None
    for at in range(0, len(data), size):
        result = handshake.receive(data[at : at + size])
    return result


def check(line, result, handshake, answer):
    """Compare one line of an answer block."""
    what, _, value = line.partition(": ")
    if what == "reason":
        assert value in result.reason
    elif what == "header":
        assert value in answer.decode("latin-1").split("\r\n")
    else:
        owner = handshake if what == "trailing" else result
        assert getattr(owner, what) == ast.literal_eval(value)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", dialogues("handshake-requests.md"), ids=lambda case: case.name)
def test_request(case, size):
    handshake = ServerHandshake()
    result = feed(handshake, case.sent, size)
    if case.expected[0] == "101":
        assert isinstance(result, Request), result
        answer = handshake.accept(result)
    else:
        assert isinstance(result, Refusal), result
        answer = result.response
        assert "(RFC 9" in result.reason or "(RFC 6455" in result.reason
    assert answer.startswith(f"HTTP/1.1 {case.expected[0]} ".encode())
    for line in case.expected[1:]:
        check(line, result, handshake, answer)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", dialogues("handshake-responses.md"), ids=lambda case: case.name)
def test_response(case, size):
    handshake = ClientHandshake(
        "ws://a/",
        key="dGhlIHNhbXBsZSBub25jZQ==",
        subprotocols=["chat", "superchat"],
        extensions=[("foo", []), ("bar", [("x", None)])],
    )
    result = feed(handshake, case.sent, size)
    if case.expected[0] == "accepted":
        assert isinstance(result, Accepted), result
        assert result.response.status == 101
    else:
        assert result is not None
        assert result.status == int(case.expected[0])
    for line in case.expected[1:]:
        check(line, result, handshake, b"")


def test_both_files_hold_dialogues():
    assert len(dialogues("handshake-requests.md")) > 40
    assert len(dialogues("handshake-responses.md")) > 20
