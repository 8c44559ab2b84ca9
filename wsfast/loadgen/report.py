"""What the user sees of a run at its end: the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from wsfast.loadgen.histogram import Histogram
from wsfast.loadgen.results import PERCENTILES, Results
from wsfast.loadgen.stages import NAMES as STAGE_NAMES
from wsfast.loadgen.stages import planned
from wsfast.loadgen.units import format_bytes, format_count, format_duration
from wsfast.loadgen.verdict import judge

__all__ = ["failure", "print_results"]

Row = tuple[str, str]

#: Modes in which nothing is sent.
SILENT = ("recv", "connect")

#: From so many connections on the growth of a process tells something of each.
TELLING = 1000

#: Kinds of errors as people read them; "closed_1001" and "handshake_403" are built from the rest.
NAMES = {
    "refused": "connection refused",
    "timeout": "handshake took too long",
    "handshake": "answer to the handshake is not valid",
    "handshake_closed": "connection closed before the handshake was answered",
    "reset": "connection reset",
    "unreachable": "no route to the server",
    "closed_1006": "connection ended without a Close frame",
    "mismatch": "answer is not what was sent",
    "lost": "message lost",
    "duplicate": "message answered twice",
    "unexpected": "message that nobody waited for",
    "reordered": "message answered after a later one",
    "unanswered": "message not answered",
    "first_answer": "first message (login) not answered in time",
    "backlog": "message that could not be sent when it was due",
    "addresses_exhausted": "no free source port, or no address of this host (EADDRNOTAVAIL)",
    "descriptors_exhausted": "no free descriptor (EMFILE)",
    "memory_exhausted": "no memory for a socket (ENOBUFS, ENOMEM)",
}


def error_name(kind: str) -> str:
    """A kind of error as people read it."""
    if kind in NAMES:
        return NAMES[kind]
    what, _, number = kind.rpartition("_")
    if what == "handshake":
        return f"handshake refused with HTTP {number}"
    if what == "violation":
        return f"the server broke the protocol ({number})"
    return f"closed with code {number}" if what == "closed" else kind


def load_rows(results: Results) -> Iterator[Row]:
    """What was asked for."""
    settings = results.settings
    kind = "text" if settings["text"] else "binary"
    size = "" if settings["mode"] in SILENT else f", {size_of(settings)} {kind}"
    yield "target", str(settings["url"])
    yield "load", load_of(results) + size
    if settings.get("match"):
        yield "replies", f"matched by {settings['match']}, verified: {settings['verify']}"


def load_of(results: Results) -> str:
    """The load in words."""
    settings = results.settings
    if settings["mode"] == "connect":
        return "connections are opened and held"
    if settings["mode"] == "recv":
        return "passive: nothing is sent"
    if not results.open_loop:
        line = f"closed loop, {settings['in_flight']} in flight on each connection"
        think = settings["think_seconds"]
        return f"{line}, {format_duration(1e9 * think)} to think" if think else line
    arrivals = "Poisson" if settings["arrivals"] == "poisson" else "evenly spaced"
    return f"open loop, {format_count(results.asked_rate or 0)} messages/s asked, {arrivals}"


def size_of(settings: Mapping[str, Any]) -> str:
    """The size of the messages in words."""
    if settings["mean_size"] is not None:
        return f"{format_bytes(int(settings['mean_size']))} on average"
    if settings["least_size"] is not None:
        return f"{format_bytes(settings['least_size'])} to {format_bytes(settings['size'])}"
    return format_bytes(settings["size"])


def connection_rows(results: Results) -> Iterator[Row]:
    """How the connect phase went."""
    counts = results.counts
    line = f"{format_count(counts['opened'])} of {format_count(counts['asked'])} opened"
    if results.failed:
        line += f", {format_count(results.failed)} failed"
    if results.counts["reconnected"]:
        line += f", {format_count(results.counts['reconnected'])} opened again"
    if results.connect_seconds:
        line += f", {format_count(results.connects_per_second)}/s"
    yield "connections", line
    if results.handshake.total:
        yield "handshake", spread_of(results.handshake)
    if results.settings["mode"] == "connect":
        values = results.handshake.percentiles([percentage for _, percentage in PERCENTILES])
        for (name, _), ns in zip(PERCENTILES, values, strict=True):
            yield f"handshake {name}", format_duration(ns)


def throughput_rows(results: Results) -> Iterator[Row]:
    """How much went through."""
    if not results.counts["sent"]:
        yield "messages/s", format_count(results.messages_per_second)
        yield "MB/s", f"{results.bytes_per_second / 1e6:,.2f} (payload)"
        return
    if results.settings["mode"] == "fanout":
        sent = format_count(results.achieved_rate)
        yield "messages/s", f"{sent} sent, {format_count(results.messages_per_second)} delivered"
        yield "MB/s", f"{results.bytes_per_second / 1e6:,.2f} delivered (payload)"
        return
    if results.open_loop:
        asked, sent = format_count(results.asked_rate or 0), format_count(results.achieved_rate)
        answered = format_count(results.messages_per_second)
        yield "messages/s", f"{asked} asked, {sent} sent, {answered} answered"
    else:
        yield "messages/s", format_count(results.messages_per_second)
    way = "each way" if results.settings["verify"] != "none" else "received"
    yield "MB/s", f"{results.bytes_per_second / 1e6:,.2f} {way} (payload)"
    received = format_count(results.counts["received"])
    sent = format_count(results.counts["sent"])
    yield "answered", f"{received} of {sent} in {results.window_seconds:.2f} s"
    if results.counts["foreign"]:
        yield "no answers", f"{format_count(results.counts['foreign'])} messages of other kinds"


def latency_rows(results: Results) -> Iterator[Row]:
    """The distribution of round trips; in an open loop from both send times, side by side."""
    names = ("intended", "actual") if results.open_loop else ("actual",)
    histograms = [results.histogram(name) for name in names]
    if not histograms[0].total:
        return
    if len(names) > 1:
        yield "latency from", columns("when it was due", "when it left")
    percentages = [percentage for _, percentage in PERCENTILES]
    values = zip(*(each.percentiles(percentages) for each in histograms), strict=True)
    for (name, _), pair in zip(PERCENTILES, values, strict=True):
        yield f"latency {name}", columns(*(bounded(ns, results.censored_ns) for ns in pair))
    longest = (bounded(each.maximum, results.censored_ns) for each in histograms)
    yield "latency max", columns(*longest)
    means = (f"{format_duration(h.mean)} (stdev {format_duration(h.stdev)})" for h in histograms)
    yield "latency mean", columns(*means)


def bounded(ns: float, censored_ns: int | None) -> str:
    """A duration, marked where unanswered messages make it a lower bound."""
    mark = ">= " if censored_ns is not None and ns >= censored_ns else ""
    return mark + format_duration(ns)


def columns(*texts: str) -> str:
    """Texts side by side."""
    return "".join(f"{text:26}" for text in texts).rstrip()


def stage_rows(results: Results) -> Iterator[Row]:
    """Each stage of the schedule: a message belongs to that in which it was due."""
    if not results.stages:
        return
    plans = planned(results.settings["rate"], results.settings["stages"])
    for number, (plan, stage) in enumerate(zip(plans, results.stages, strict=True), 1):
        rates = (plan.messages, stage.sent, stage.received)
        asked, sent, received = (format_count(count / plan.seconds) for count in rates)
        ramp = f"{format_count(plan.from_rate)} to {format_count(plan.to_rate)} messages/s"
        yield f"stage {number}", f"{format_duration(1e9 * plan.seconds)}, {ramp}"
        yield "", f"{asked}/s asked, {sent} sent, {received} answered"
        intended, actual, lag = (spread_of(stage.histograms[name]) for name in STAGE_NAMES)
        yield "", f"from when it was due: {intended}"
        yield "", f"from when it left: {actual}"
        shares = ", ".join(f"{share:.0f} %" for share in stage.cpu_percents)
        yield "", f"lag: {lag}{f'; generator CPU {shares}' if shares else ''}"


def delivery_rows(results: Results) -> Iterator[Row]:
    """How far messages came, and how evenly."""
    if results.settings["mode"] == "fanout":
        owed, came = results.expected, results.counts["received"]
        share = f"{100 * came / owed:.2f} %" if owed else "nothing was owed"
        yield "reach", f"{format_count(came)} of {format_count(owed)} deliveries, {share}"
        yield "last subscriber", spread_of(results.last_subscriber)
    if results.settings["mode"] in ("fanout", "recv"):
        yield "between messages", spread_of(results.histogram("interarrival"))
        if results.counts["gaps"]:
            seconds = results.settings["gap_seconds"]
            yield "gaps", f"{format_count(results.counts['gaps'])} longer than {seconds:g} s"


def spread_of(histogram: Histogram) -> str:
    """p50, p99 and maximum in a line."""
    p50, p99 = (format_duration(ns) for ns in histogram.percentiles([50.0, 99.0]))
    return f"p50 {p50}, p99 {p99}, max {format_duration(histogram.maximum)}"


def error_rows(results: Results) -> Iterator[Row]:
    """What went wrong, and on whose side."""
    if not results.server_errors and not results.generator_errors:
        yield "errors", "none"
    sides = (("error", results.server_errors), ("generator's own", results.generator_errors))
    for side, errors in sides:
        for kind, count in errors.most_common():
            yield side, f"{format_count(count)} x {error_name(kind)}"


def failure(results: Results) -> str | None:
    """Why a run that came to its end measured nothing, in one line; None if it did.

    Args:
        results: of the run.
    """
    if results.counts["received"]:
        return None
    if results.settings["mode"] == "connect" and results.counts["opened"]:
        return None
    if results.counts["opened"]:
        what = f"no message was answered by {results.settings['url']}"
    else:
        what = f"no connection to {results.settings['url']} could be opened"
    reasons = ", ".join(reason for _, reason in error_rows(results) if reason != "none")
    return f"{what}: {reasons}" if reasons else what


def cpu_rows(results: Results) -> Iterator[Row]:
    """What it cost, here and at the target."""
    shares = ", ".join(f"{worker.cpu_percent:.0f} %" for worker in results.workers)
    yield (
        "generator CPU",
        shares + (" of a core" if len(results.workers) == 1 else " of a core each"),
    )
    if results.open_loop:
        yield "schedule lag", spread_of(results.histogram("lag"))
    if results.target_cpu_percent is None:
        return
    share = f"{results.target_cpu_percent:.0f} % of a core"
    yield "target CPU", f"{share} (process {results.target_pid})"
    if results.messages_per_target_cpu_second is not None:
        efficiency = format_count(results.messages_per_target_cpu_second)
        yield "messages per target CPU-second", efficiency
    if results.target_after is not None:
        line = format_bytes(results.target_after.rss_bytes)
        each = results.target_bytes_per_connection
        if each is not None and results.counts["opened"] >= TELLING:
            line += f", grew by {format_bytes(round(each))} a connection"
        yield "target memory", line


def verdict_rows(results: Results) -> Iterator[Row]:
    """Whether the numbers are the server's."""
    verdict = judge(results)
    yield "verdict", verdict.name
    for reason in verdict.reasons:
        yield "because", reason


def notes(results: Results) -> Iterator[str]:
    """What a reader of the numbers must know."""
    if not results.open_loop and results.counts["sent"]:
        yield (
            f"Closed loop, {results.settings['in_flight']} in flight: coordinated omission "
            "applies; a server that stalls is asked less often while it stalls."
        )
    if results.counts["censored"]:
        yield (
            f"{format_count(results.counts['censored'])} messages were not answered in time: they "
            "count with the time that they had waited, and what is marked >= is a lower bound."
        )
    if results.generator_bound:
        yield (
            "The generator was the bottleneck: a worker used its whole core. "
            "Add workers (-w) or read the numbers as a lower bound of the server."
        )
    if results.interrupted:
        yield "Interrupted: the numbers cover what was measured until then."


def rows(results: Results) -> Iterator[Row]:
    """All lines of the table, in order."""
    yield from load_rows(results)
    yield from connection_rows(results)
    if results.counts["sent"] or results.counts["received"]:
        yield from throughput_rows(results)
        yield from latency_rows(results)
        yield from stage_rows(results)
    yield from delivery_rows(results)
    yield from error_rows(results)
    yield from cpu_rows(results)
    if results.counts["sent"] or results.counts["received"]:
        yield from verdict_rows(results)


def print_results(results: Results, stream: IO[str]) -> None:
    """Print the table: with rules and colours on a terminal, plain aligned lines elsewhere.

    Args:
        results: of the run.
        stream: where to print to.
    """
    console = Console(file=stream, highlight=False, soft_wrap=not stream.isatty())
    if not console.is_terminal:
        lines = list(rows(results))
        width = max(len(name) for name, _ in lines)
        stream.writelines(f"{name:<{width}}  {value}\n" for name, value in lines)
        stream.writelines(f"{note}\n" for note in notes(results))
        return
    table = Table(show_header=False, border_style="dim")
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in rows(results):
        style = "red" if name in ("error", "generator's own") else ""
        table.add_row(name, value, style=style)
    console.print(table)
    for note in notes(results):
        console.print(note, style="yellow" if "bottleneck" in note else "dim")
