"""The options that say what messages hold, and what makes a message an answer to one of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from wsfast.loadgen.options import parsed
from wsfast.loadgen.payload import STAMP_SIZE
from wsfast.loadgen.reply import Reply
from wsfast.loadgen.template import Template
from wsfast.loadgen.templatetext import Source, check_json, read_template
from wsfast.loadgen.units import Sizes, parse_bytes, parse_sizes

__all__ = [
    "CONTENT_OPTIONS",
    "TEMPLATE_OPTIONS",
    "Fragments",
    "check_content",
    "parse_fragments",
    "read_message",
]

#: Payload bytes of a message: the generator holds one, and a server would hold many.
MAX_SIZE = 1 << 30

#: Frames of a message: more are an attack, not a load.
MAX_FRAMES = 1 << 16


class Fragments(NamedTuple):
    """How messages are cut into frames (RFC 6455 section 5.4).

    Attributes:
        frames: into so many; 0: as many as `size` makes.
        size: payload bytes of each but the last; 0: messages are not cut.
    """

    frames: int = 0
    size: int = 0


#: What a command without these options asks for.
UNASKED: Mapping[str, Any] = {
    "template": None,
    "json_check": False,
    "match": None,
    "fragments": Fragments(),
    "message": None,
    "message_file": None,
}


def payload_sizes(text: str) -> Sizes:
    """The sizes of -s.

    Raises:
        ValueError: they are none, or more than a message may have.
    """
    sizes = parse_sizes(text)
    if sizes.most > MAX_SIZE:
        raise ValueError(f"{text} is more than {MAX_SIZE}")
    return sizes


def read_message(path: str) -> bytes:
    """What a file holds.

    Raises:
        ValueError: it cannot be read, or is too long for a message.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_SIZE:
        raise ValueError(f"{path} holds {len(content)} bytes, more than {MAX_SIZE}")
    return content


def parse_fragments(text: str) -> Fragments:
    """Read "4" (frames) or "512b", "4k" (bytes of a frame: a size with its unit).

    Raises:
        ValueError: it is neither, or the message would stay in one frame.
    """
    if not text.isdecimal():
        size = parse_bytes(text)
        if not size:
            raise ValueError(f"{text!r}: a frame takes 1 byte or more (RFC 6455 section 5.4)")
        return Fragments(0, size)
    if not 2 <= int(text) <= MAX_FRAMES:
        raise ValueError(
            f"{text!r} is not 2 to {MAX_FRAMES} frames; a size has a unit, like 512b or 4k"
        )
    return Fragments(int(text), 0)


def parse_match(text: str) -> str:
    """Check how a reply finds its message.

    Raises:
        ValueError: it is none of order, sequence, prefix:TEXT and json:PATH.
    """
    Reply(text)
    return text


CONTENT_OPTIONS = (
    click.option(
        "-s",
        "--size",
        callback=parsed(payload_sizes),
        metavar="SIZE",
        default="20",
        show_default=True,
        help="Payload bytes of a message: 512, 20-2k, or exp:512 (the mean).",
    ),
    click.option(
        "-m",
        "--message",
        "message",
        metavar="TEXT",
        help="Send this text, not random bytes.",
    ),
    click.option(
        "-f",
        "--file",
        "message_file",
        callback=parsed(read_message),
        metavar="FILE",
        help="Send what it holds; with -t as text.",
    ),
    click.option("-t", "--text", is_flag=True, help="Send text messages instead of binary ones."),
    click.option(
        "--verify",
        type=click.Choice(["none", "length", "full"]),
        help="What is checked of an answer.  [default: full; none with --match prefix: or json:]",
    ),
)

TEMPLATE_OPTIONS = (
    click.option(
        "--template",
        callback=parsed(read_template),
        metavar="FILE|TEXT",
        help="Send text with fields like {{seq}} or {{random_int 1 100}}; see docs/bench.md.",
    ),
    click.option(
        "--json-check",
        is_flag=True,
        help="Refuse a --template that makes no JSON; of FILE.json always.",
    ),
    click.option(
        "--match",
        callback=parsed(parse_match),
        metavar="order|sequence|prefix:TEXT|json:PATH",
        help="Which message a reply answers.  [default: the one of which it is the echo]",
    ),
    click.option(
        "--fragments",
        callback=parsed(parse_fragments),
        metavar="N|SIZE",
        help="Send each message as N frames, or in frames of SIZE bytes (512b, 4k).",
    ),
)


def check_content(options: dict[str, Any]) -> None:
    """Refuse contents that contradict each other, and fill in what follows from them.

    Raises:
        click.UsageError: with the option and the rule.
    """
    for name, value in UNASKED.items():
        if options.get(name) is None:
            options[name] = value
    given = [
        flag
        for flag, name in (
            ("--message", "message"),
            ("--file", "message_file"),
            ("--template", "template"),
        )
        if options[name] is not None
    ]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} do not go together")
    options["content"] = None
    if options["template"] is not None:
        take_template(options)
    elif options["json_check"]:
        raise click.UsageError("--json-check is of a --template")
    elif given:
        take_message(options)
    check_match(options, bool(given))
    check_fragments(options["fragments"], options["size"])


def take_template(options: dict[str, Any]) -> None:
    """Check the template, which is sent as text of its own sizes.

    Raises:
        click.UsageError: it makes no JSON, but should.
    """
    source: Source = options["template"]
    try:
        if source.is_json or options["json_check"]:
            check_json(source)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    template = Template(source.text)
    if template.most > MAX_SIZE:
        raise click.UsageError(f"--template makes {template.most} bytes, more than {MAX_SIZE}")
    least = template.least if template.least != template.most else None
    options["template"] = source.text
    options["numbered"] = template.numbered
    options["text"] = True
    options["size"] = Sizes(template.most, least)


def take_message(options: dict[str, Any]) -> None:
    """Send what --message or --file says.

    Raises:
        click.UsageError: it is to be text, and is none.
    """
    message = options["message"]
    content: bytes = options["message_file"] if message is None else message.encode()
    options["text"] = options["text"] or message is not None
    if options["text"]:
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise click.UsageError(f"--file with --text: it is no UTF-8: {error}") from None
    options["size"] = Sizes(len(content))
    options["content"] = base64.b64encode(content).decode("ascii")


def check_match(options: dict[str, Any], own: bool) -> None:
    """Refuse a way to match replies that cannot work with these messages.

    Args:
        options: of the command; `verify` and `match` are filled in.
        own: the messages are the user's, and have no stamp.

    Raises:
        click.UsageError: with the rule.
    """
    match = options["match"] or ""
    loose = match.startswith(("prefix:", "json:"))
    options["verify"] = options.get("verify") or ("none" if loose else "full")
    if match.startswith("json:") and not options.get("numbered"):
        raise click.UsageError("--match json: looks for the {{seq}} of a --template")
    if match != "sequence":
        return
    if options["verify"] == "full" and (options["template"] is not None or not own):
        options["match"] = None  # an echo is compared as a whole, and its number with it
        return
    if own:
        raise click.UsageError(
            "--match sequence needs the stamp of random messages, or the echo of a --template "
            "with --verify full; see --match json:PATH"
        )
    least = options["size"].least
    if (options["size"].most if least is None else least) < STAMP_SIZE or options["size"].mean:
        raise click.UsageError(f"--match sequence needs a --size of {STAMP_SIZE} bytes or more")


def check_fragments(fragments: Fragments, sizes: Sizes) -> None:
    """Refuse to cut what has not so many bytes.

    Raises:
        click.UsageError: with the sizes.
    """
    if fragments.frames > sizes.most:
        raise click.UsageError(
            f"--fragments {fragments.frames} are more frames than the {sizes.most} bytes of a "
            "message"
        )
    if fragments.size >= sizes.most and fragments.size:
        raise click.UsageError(
            f"--fragments of {fragments.size} bytes leave a message of {sizes.most} in one frame"
        )
