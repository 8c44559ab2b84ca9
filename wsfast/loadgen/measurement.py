"""A measurement: from what was asked for to a plan, to workers, to results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from wsfast.descriptors import raise_descriptor_limit
from wsfast.loadgen.coordinator import Coordinator, CouldNotRun
from wsfast.loadgen.opening import TOKEN
from wsfast.loadgen.plan import Plan, choose_sources, resolve, split, workers_for
from wsfast.loadgen.results import Results
from wsfast.loadgen.tlsoptions import tls_of
from wsfast.url import parse_url

__all__ = ["OnProgress", "choose_workers", "measure"]

#: Fields of a plan that are of one worker, or nobody else's business.
PRIVATE = (
    *("first", "cpu", "opening", "phase", "publishers", "worker", "tls"),
    *("tokens", "headers", "first_message", "first_prefix", "content", "template"),
)

OnProgress = Callable[[float, dict[str, Any]], None]


def measure(url: str, options: dict[str, Any], on_progress: OnProgress) -> Results:
    """Run the measurement that the options ask for.

    Raises:
        CouldNotRun: the processes asked for cannot hold the connections, or one died or hung.
        KeyboardInterrupt: the user interrupted a second time.
        OSError: the name of the server is not known, or no process can be started.
        click.UsageError: the source addresses do not go with the target.
    """
    parts = parse_url(url.replace(TOKEN, "token"))
    address = resolve(parts.host, parts.port)
    connections = options["connections"]
    try:
        sources = choose_sources(options["bind"], address, connections)
    except ValueError as error:
        raise click.UsageError(f"--bind: {error}") from None
    plan = Plan(
        url=url,
        address=address,
        port=parts.port,
        connections=connections,
        tls=tls_of(url, options),
        headers=tuple(options["headers"]) + cookie_header(options["cookies"]),
        origin=options["origin"],
        subprotocols=tuple(options["subprotocols"]),
        tokens=tuple(options["tokens"] or ())[:connections],
        mode=options["mode"],
        lanes=options["lanes"],
        topics=options["topics"],
        envelope=options["envelope"],
        gap_seconds=options["gap"],
        first_message=options["subscribe"],
        first_answers=options["subscribe_answers"].messages,
        first_prefix=options["subscribe_answers"].prefix,
        lifetime_seconds=options["lifetime"] or 0.0,
        reconnect=options["reconnect"],
        in_flight=options["in_flight"],
        rate=options["rate"],
        stages=options["stages"] or (),
        arrivals=options["arrivals"],
        think_seconds=options["think"] or 0.0,
        content=options["content"],
        template=options["template"],
        match=options["match"],
        fragments=options["fragments"].frames,
        fragment_bytes=options["fragments"].size,
        size=options["size"].most,
        least_size=options["size"].least,
        mean_size=options["size"].mean,
        verify=options["verify"],
        warmup_seconds=options["warmup"] or 0.0,
        text=options["text"],
        seconds=options["duration"],
        messages=options["messages"],
        connect_rate=options["connect_rate"],
        sources=sources,
        connect_seconds=options["connect_timeout"],
        drain_seconds=options["drain"],
        seed=time.time_ns() & 0xFFFFFFFF if options["seed"] is None else options["seed"],
    )
    workers = choose_workers(connections, options)
    settings = {**plan.to_dict(), "workers": workers, "cpus": options["cpu"]}
    for private in PRIVATE:
        del settings[private]
    coordinator = Coordinator(
        split(plan, workers, options["cpu"]),
        settings=settings,
        target_pid=options["target_pid"],
        on_progress=on_progress,
    )
    return coordinator.run()


def cookie_header(cookies: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The Cookie header of NAME=VALUE texts; none without any."""
    return (("Cookie", "; ".join(cookies)),) if cookies else ()


def choose_workers(connections: int, options: dict[str, Any]) -> int:
    """The number of processes: what was asked for, or what the descriptor limit takes.

    Raises:
        CouldNotRun: the processes asked for cannot hold so many connections.
    """
    limit = raise_descriptor_limit()
    needed = workers_for(connections, limit)
    asked: int | None = options["workers"]
    if asked is not None and asked < needed:
        raise CouldNotRun(
            f"{asked} worker(s) cannot hold {connections:,} connections: a process may open "
            f"{limit:,} descriptors here; use -w {needed}"
        )
    return asked or needed
