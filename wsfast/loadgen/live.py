"""Progress of a run on a terminal: a view that is drawn again; elsewhere a line a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wsfast.loadgen.units import format_count, format_duration

__all__ = ["Progress", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"
#: Seconds that the sparkline shows.
SECONDS = 60


def sparkline(values: list[int]) -> str:
    """A bar for each value, the highest one full."""
    top = max(values, default=0) or 1
    return "".join(BARS[min(7, 8 * value // (top + 1))] for value in values)


class Progress:
    """Progress of a run.

    Args:
        stream: where to show it.
        quiet: show nothing.
        period_seconds: least time between two plain lines.
    """

    def __init__(self, stream: IO[str], *, quiet: bool = False, period_seconds: float = 1.0):
        self._stream = stream
        self._quiet = quiet
        self._terminal = stream.isatty()
        self._period = 0.2 if self._terminal else period_seconds
        self._printed: float | None = None
        self._received = 0
        self._live: Live | None = None

    def update(self, now: float, state: Mapping[str, Any]) -> None:
        """Show the state if it is time to.

        Args:
            now: seconds on any clock that only goes forward.
            state: sums over the workers: asked, opened, failed, sent, received; `seconds`, the
                rows of the seconds that are over, if there are any.
        """
        if self._printed is None:
            self._printed = now
        passed = now - self._printed
        if self._quiet or passed < self._period:
            return
        rate = (state["received"] - self._received) / passed
        self._received = state["received"]
        self._printed = now
        if self._terminal:
            self._draw(state)
        else:
            self._stream.write(f"{line_of(state, rate)}\n")
            self._stream.flush()

    def close(self) -> None:
        """Take the view off the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, state: Mapping[str, Any]) -> None:
        if self._live is None:
            console = Console(file=self._stream, force_terminal=True)
            self._live = Live(console=console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(view_of(state), refresh=True)


def line_of(state: Mapping[str, Any], rate: float) -> str:
    """The state in a line."""
    if state["sent"]:
        line = (
            f"{format_count(state['received'])} messages, {format_count(rate)}/s, "
            f"{format_count(state['sent'] - state['received'])} in flight"
        )
    elif state["received"]:
        line = f"{format_count(state['received'])} messages, {format_count(rate)}/s"
    else:
        line = f"{format_count(state['opened'])} of {format_count(state['asked'])} connected"
    if state["failed"]:
        line += f", {format_count(state['failed'])} failed"
    return line


def view_of(state: Mapping[str, Any]) -> Group:
    """The state as some lines: connections, messages, the latest second, and all of them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    connected = f"{format_count(state['opened'])} of {format_count(state['asked'])}"
    failed = f", {format_count(state['failed'])} failed" if state["failed"] else ""
    table.add_row("connected", Text(connected + failed, style="red" if failed else ""))
    if state["sent"] or state["received"]:
        under_way = max(0, state["sent"] - state["received"])
        messages = (
            f"{format_count(state['sent'])} sent, {format_count(state['received'])} received"
        )
        table.add_row("messages", f"{messages}, {format_count(under_way)} in flight")
    seconds = state.get("seconds") or []
    if seconds:
        last = seconds[-1]
        rates = f"{format_count(last['sent'])} sent/s, {format_count(last['received'])} received/s"
        table.add_row(f"second {last['second'] + 1}", rates)
        figures = (f"{name} {format_duration(last[name])}" for name in ("p50", "p99", "max"))
        table.add_row("latency", ", ".join(figures))
        wrong = last["lost"] + last["mismatch"] + last["backlog"]
        if wrong:
            table.add_row("errors", Text(format_count(wrong), style="red"))
        table.add_row("received", sparkline([row["received"] for row in seconds[-SECONDS:]]))
    return Group(table)
