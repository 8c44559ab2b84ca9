"""A text fed to the validator whole or in parts, and what must come of it."""

from __future__ import annotations

import itertools

import reference
from wsfast import utf8

__all__ = ["expected", "in_parts", "whole"]


def whole(data: bytes) -> tuple[int, bool]:
    """Feed data at once: (position, complete)."""
    validator = utf8.Utf8Validator()
    valid = validator.feed(data)
    assert valid == validator.valid == (validator.position == len(data))
    return validator.position, validator.complete


def in_parts(data: bytes, sizes: list[int]) -> tuple[int, bool]:
    """Feed data in parts of these sizes, over and over: (position, complete)."""
    validator = utf8.Utf8Validator()
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            break
        validator.feed(data[at : at + size])
        at += size
    return validator.position, validator.complete


def expected(data: bytes) -> tuple[int, bool]:
    """What the slow versions say of it."""
    return reference.utf8_error_offset(data), reference.is_complete_utf8(data)
