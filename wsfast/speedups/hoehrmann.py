"""What the self-tests of the libraries with Hoehrmann's validator and byte-wise maskers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from .selftest import SIZES, TEXTS, Mismatch, compare, outcome, pieces

__all__ = ["broken_text", "chunks", "compare_maskers", "compare_validators", "parts_of", "text_of"]


def text_of(size: int, random: Random) -> bytes:
    """Valid UTF-8 of about that size, at least; sequences of every length in it."""
    alphabet = random.choice(("a", "až", "a漢", "a\U0001f600", "až漢\U0001f600"))
    return "".join(random.choices(alphabet, k=size)).encode()


def broken_text(random: Random) -> bytes:
    """Some text with, often, something wrong in it or at its end."""
    return b"".join(random.choice(TEXTS) for _ in range(random.randint(0, 4)))


def parts_of(data: bytes, random: Random) -> Iterator[bytes]:
    """The data in a few parts; its start sometimes in many small ones."""
    if random.random() < 0.2:
        yield from pieces(data[:50], random)
        data = data[50:]
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.randint(0, 4)))
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:end]


def chunks(text: bytes, random: Random) -> Iterator[bytes | bytearray]:
    """The text in parts, some of them empty, as bytes and as bytearrays."""
    for part in parts_of(text, random):
        yield bytearray(part) if random.random() < 0.3 else part


def compare_validators(
    original: Callable[[], Any],
    replacement: Callable[[], Any],
    random: Random,
    *,
    after_reject: bool = True,
    only_bytes: bool = False,
    fields: int = 4,
    rounds: int = 12,
) -> None:
    """Validate the same texts in the same chunks with both.

    Args:
        original: makes a validator; so does replacement.
        after_reject: go on after the first chunk that is not valid.
        only_bytes: the original takes nothing else.
        fields: how many of the four answers to compare.

    Raises:
        Mismatch: naming the chunk and both answers.
    """
    for _ in range(rounds):
        theirs, ours = original(), replacement()
        for _ in range(2):
            for chunk in chunks(broken_text(random), random):
                chunk = bytes(chunk) if only_bytes else chunk
                expected, got = theirs.validate(chunk), ours.validate(chunk)
                if _typed(expected, fields) != _typed(got, fields):
                    raise Mismatch(f"validate({chunk!r}): the original {expected}, wsfast {got}")
                if not expected[0] and not after_reject:
                    break
            theirs.reset()
            ours.reset()


def _typed(answer: tuple[Any, ...], fields: int) -> list[tuple[type, Any]]:
    return [(type(each), each) for each in answer[:fields]]


def compare_maskers(
    original: Callable[..., Any], replacement: Callable[..., Any], random: Random
) -> None:
    """Mask the same payloads in the same chunks with what both factories make.

    Raises:
        Mismatch: naming the call and both outcomes.
    """
    for size in random.sample(SIZES, 8):
        key, payload = random.randbytes(4), random.randbytes(size)
        theirs, ours = original(key, size), replacement(key, size)
        for chunk in chunks(payload, random):
            given = memoryview(chunk) if random.random() < 0.2 else chunk
            compare("process", theirs.process, ours.process, given)
            if theirs.pointer() != ours.pointer():
                raise Mismatch(f"pointer(): the original {theirs.pointer()}, {ours.pointer()}")
            if random.random() < 0.1:
                theirs.reset()
                ours.reset()
        strange = random.choice(([1, 2], None, "text", memoryview(payload)[::2]))
        compare("process", theirs.process, ours.process, strange)
    for wrong in (b"", b"key", b"longer", "text", None, 5, bytearray(b"four"), [1, 2, 3, 4]):
        expected, got = outcome(original, wrong), outcome(replacement, wrong)
        if expected.kind != got.kind or (expected.kind == "raised" and expected != got):
            raise Mismatch(f"key {wrong!r}: the original {expected}, wsfast {got}")
