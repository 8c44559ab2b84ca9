"""The text of a template, from a file or the command line, and whether it makes valid JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wsfast.loadgen.options import read_text
from wsfast.loadgen.template import Template, parse

__all__ = ["Source", "check_json", "read_template"]

#: Sequence and connection numbers to try: the shortest and the longest.
SAMPLES = ((0, 0), (1, 9), (0xFFFFFFFF, 0xFFFFFFFF))


class Source(NamedTuple):
    """A template before it is compiled.

    Attributes:
        text: with its fields.
        name: what messages call it: its file, or the option.
        is_json: what it makes must be JSON.
    """

    text: str
    name: str
    is_json: bool


def read_template(text: str) -> Source:
    """The template of a text, or of the file that it names.

    What holds a field, or begins like JSON, is a text.

    Raises:
        ValueError: the file cannot be read, or a field is wrong.
    """
    is_text = "{{" in text or text.lstrip()[:1] in ("{", "[", '"')
    source = Source(text, "the template", False)
    if not is_text:
        source = Source(read_text(text), text, Path(text).suffix == ".json")
    try:
        Template(source.text)
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from None
    return source


def check_json(source: Source) -> None:
    """Try whether a template makes valid JSON (RFC 8259), with every word of every choice.

    Raises:
        ValueError: it does not; the message names line and column in the template.
    """
    for pieces in samples(source.text):
        made = "".join(pieces)
        try:
            json.loads(made, parse_constant=refuse_constant)
        except json.JSONDecodeError as error:
            line, column = place_of(source.text, pieces, error.pos)
            near = made[max(0, error.pos - 20) : error.pos + 20]
            raise ValueError(
                f"{source.name}, line {line} column {column}: {error.msg} near {near!r}"
            ) from None
        except ValueError as error:
            raise ValueError(f"{source.name}: {error}") from None


def refuse_constant(name: str) -> Any:
    """Python reads NaN and Infinity, which are no JSON.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no JSON")


def samples(text: str) -> Iterator[list[str]]:
    """Messages as lists of their parts: short and long ones, and one for each word of a choice."""
    template = Template(text)
    for sequence, connection in SAMPLES:
        yield [piece.decode() for piece in template.pieces(sequence, connection)]
    usual = [piece.decode() for piece in template.pieces(0, 0)]
    for number, (_, _, words) in enumerate(parse(text)):
        for word in words if len(words) > 1 else ():
            if isinstance(word, str):
                yield [*usual[:number], word, *usual[number + 1 :]]


def place_of(text: str, pieces: list[str], position: int) -> tuple[int, int]:
    """Line and column, from 1, in the template of a position in what it made."""
    starts = [start for start, _, _ in parse(text)]
    number = 0
    while number < len(pieces) and position >= len(pieces[number]):
        position -= len(pieces[number])
        number += 1
    offset = len(text)
    if number < len(pieces):
        following = starts[number + 1] if number + 1 < len(starts) else len(text)
        constant = text[starts[number] : following] == pieces[number]
        offset = starts[number] + (position if constant else 0)
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
