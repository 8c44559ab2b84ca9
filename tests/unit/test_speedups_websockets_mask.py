"""The masking function of websockets in Python, replaced; and not where it is native already."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("websockets")

from websockets.utils import apply_mask

from ids import shown
from wsfast.speedups.selftest import SIZES, outcome
from wsfast.speedups.websockets_mask import make_apply_mask

KEY = b"\xa1\x02\xf3\x04"

#: Imports websockets as it is where nobody could compile its extension.
WITHOUT_EXTENSION = """
import sys
sys.modules["websockets.speedups"] = None
import wsfast.speedups as sp
sp.install("websockets", strict=True, level=sys.argv[1])
import websockets.frames, websockets.utils
original = websockets.utils.apply_mask
import websockets.protocol, websockets.legacy.framing
places = [websockets.frames, websockets.legacy.framing]
assert all(each.apply_mask.__wrapped__ is original for each in places)
for size in range(40):
    masked = websockets.frames.apply_mask(b"x" * size, b"abcd")
    assert masked == original(b"x" * size, b"abcd")
protocol = websockets.protocol.Protocol(websockets.protocol.SERVER)
protocol.receive_data(b"\\x81\\x82\\0\\0\\0\\0hi")
assert protocol.events_received()[0].data == b"hi"
(report,) = sp.status("websockets")
print(report.state, report.level, *report.slots)
sp.uninstall()
assert all(each.apply_mask is original for each in places)
"""


@pytest.fixture
def ours() -> Callable[..., Any]:
    return make_apply_mask(apply_mask)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("mask", [KEY, bytearray(KEY)])
def test_every_length(ours: Callable[..., Any], kind: Any, mask: Any) -> None:
    for size in SIZES:
        data = kind(bytes(number % 251 for number in range(size)))
        assert outcome(ours, data, mask) == outcome(apply_mask, data, mask)
        assert type(ours(data, mask)) is bytes


@pytest.mark.parametrize(
    ("data", "mask"),
    [
        (b"abcdefg", memoryview(KEY)),
        (memoryview(b"abcdefgh")[::2], KEY),
        (memoryview(b"abcdefgh").cast("I"), KEY),
        (b"abc", b""),
        (b"abc", b"abc"),
        (b"abc", b"abcde"),
        ("text", KEY),
        (b"abc", "mask"),
        (None, None),
        (b"abc", [1, 2, 3, 4]),
    ],
    ids=shown,
)
def test_what_is_odd(ours: Callable[..., Any], data: Any, mask: Any) -> None:
    assert outcome(ours, data, mask) == outcome(apply_mask, data, mask)


def test_it_is_called_as_the_original(ours: Callable[..., Any]) -> None:
    assert ours(data=b"abcd", mask=KEY) == ours(b"abcd", KEY)
    assert inspect.signature(ours) == inspect.signature(apply_mask)
    with pytest.raises(TypeError):
        ours(b"abcd")


@pytest.mark.parametrize("level", ["kernels", "frames"])
def test_it_is_replaced_where_the_extension_is_missing(level: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTENSION, level],
        capture_output=True,
        text=True,
        timeout=60,
    )
    state, found, *slots = done.stdout.split()
    assert (state, found) == ("active", level), done.stderr
    assert {"websockets.frames:apply_mask", "websockets.legacy.framing:apply_mask"} <= set(slots)


def test_it_is_left_where_the_extension_is_there() -> None:
    speedups = pytest.importorskip("websockets.speedups")
    program = (
        "import wsfast.speedups as sp, websockets.protocol, websockets.legacy.framing;"
        "sp.install('websockets', strict=True);"
        "print(websockets.frames.apply_mask is websockets.legacy.framing.apply_mask is "
        "websockets.speedups.apply_mask)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "True", done.stderr
    assert not hasattr(speedups.apply_mask, "__wrapped__")
