"""wsfast.loadgen.live: a view on a terminal, a line a second elsewhere."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("rich")
live = pytest.importorskip("wsfast.loadgen.live")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def state(**fields):
    return {"asked": 10, "opened": 0, "failed": 0, "sent": 0, "received": 0, **fields}


def test_progress_line_by_line():
    stream = io.StringIO()
    progress = live.Progress(stream)
    progress.update(100.0, state())
    progress.update(100.5, state(opened=1))
    progress.update(101.0, state(opened=4, failed=1))
    progress.update(102.0, state(opened=10, sent=130, received=100))
    progress.update(104.0, state(opened=10, sent=500, received=500))
    progress.close()
    assert stream.getvalue().splitlines() == [
        "4 of 10 connected, 1 failed",
        "100 messages, 100/s, 30 in flight",
        "500 messages, 200/s, 0 in flight",
    ]


SECOND = {"second": 4, "sent": 130, "received": 120, "p50": 1000, "p99": 2000, "max": 3000}
SECOND.update(lost=0, mismatch=0, backlog=0)


def drawn(**fields):
    """What a terminal shows of a state."""
    stream = Terminal()
    progress = live.Progress(stream)
    for now in (1.0, 1.3):
        progress.update(now, state(**fields))
    shown = stream.getvalue()
    progress.close()
    return shown


def test_a_terminal_shows_connections_first():
    shown = drawn(opened=3)
    assert "3 of 10" in shown
    assert "messages" not in shown


def test_a_terminal_shows_the_latest_second():
    shown = drawn(opened=10, sent=900, received=870, seconds=[{**SECOND, "received": 60}, SECOND])
    for words in (
        "900 sent, 870 received, 30 in flight",
        "second 5",
        "130 sent/s, 120 received/s",
    ):
        assert words in shown
    assert "p50 1.00 us, p99 2.00 us, max 3.00 us" in shown
    assert "▄" in shown
    assert "errors" not in shown


def test_a_terminal_shows_what_goes_wrong():
    shown = drawn(opened=9, failed=1, sent=5, seconds=[{**SECOND, "lost": 7}])
    assert "1 failed" in shown
    assert "errors" in shown
    assert "7" in shown


def test_the_view_goes_away():
    stream = Terminal()
    progress = live.Progress(stream)
    for now in (1.0, 1.3):
        progress.update(now, state(opened=3))
    before = len(stream.getvalue())
    progress.close()
    progress.close()
    assert "\x1b[2K" in stream.getvalue()[before:], "its lines are erased"


@pytest.mark.parametrize(
    ("values", "bars"), [([], ""), ([0, 0], "▁▁"), ([0, 1, 2, 4, 8], "▁▁▂▄█"), ([5] * 3, "▇▇▇")]
)
def test_sparklines(values, bars):
    assert live.sparkline(values) == bars


def test_received_without_anything_sent():
    stream = io.StringIO()
    progress = live.Progress(stream)
    progress.update(1.0, state())
    progress.update(2.0, state(opened=10, received=50))
    assert stream.getvalue() == "50 messages, 50/s\n"


def test_quiet():
    stream = Terminal()
    progress = live.Progress(stream, quiet=True)
    progress.update(1.0, state())
    progress.update(9.0, state())
    progress.close()
    assert stream.getvalue() == ""
