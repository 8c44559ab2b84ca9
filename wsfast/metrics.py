"""The figures of a running program, over HTTP on an address of its own.

Two pages: `/metrics` in the text format of Prometheus, and `/stats` as JSON. Counters of a place
for a worker go on when its worker is replaced, however that one ended, so no sum ever goes back.
The address is another one than that of the clients, who are not to see it.
"""

from __future__ import annotations

import collections
import json
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from wsfast.limits import Limits
from wsfast.loop import Loop
from wsfast.response import Response
from wsfast.server import Server
from wsfast.site import Site

__all__ = ["GAUGES", "Figures", "Metrics", "WorkerFigures", "exposition", "parse_address"]

#: Of `Server.stats`, what says how it stands now; the rest are counters.
GAUGES = frozenset({"connections", "listening", "draining"})

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]/\s]+)):([0-9]{1,5})")
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Who asks may not take the descriptors that a supervisor needs for its next worker.
_LIMITS = Limits(max_connections=16)

#: Of the program, what says how it stands now.
_PROGRAM_GAUGES = frozenset({"workers", "workers_ready", "workers_waiting"})


class WorkerFigures(NamedTuple):
    """One place for a worker, or the one process that serves by itself.

    Attributes:
        number: from 0.
        pids: of those that serve there: two for a moment in a restart, none in a back-off.
        stats: as of `Server.stats`, with what earlier workers of the place have counted.
    """

    number: int
    pids: list[int]
    stats: Mapping[str, int]


class Figures(NamedTuple):
    """What both pages tell.

    Attributes:
        program: of the supervisor, ints by name: workers, workers_ready, workers_waiting (whose
            place is empty until their back-off is over), worker_starts, worker_deaths (those that
            nobody had told to end), restarts. Empty without one.
        workers: all places.
    """

    program: Mapping[str, int]
    workers: Sequence[WorkerFigures]

    @property
    def total(self) -> dict[str, int]:
        """The sums over all workers."""
        counted: collections.Counter[str] = collections.Counter()
        for each in self.workers:
            counted.update(each.stats)
        return dict(counted)

    def as_json(self) -> str:
        """The page /stats."""
        workers = [
            {"worker": each.number, "pids": each.pids, "stats": dict(each.stats)}
            for each in self.workers
        ]
        return json.dumps(
            {"program": dict(self.program), "total": self.total, "workers": workers}, indent=1
        )


def exposition(figures: Figures) -> str:
    """The page /metrics: the text format 0.0.4 of Prometheus.

    Counters end in `_total`, all begin with `wsfast_`, and those of a worker have its number as
    the label `worker`; `sum by` adds them up.
    """
    lines: list[str] = []
    for name, value in figures.program.items():
        _write(lines, name, name in _PROGRAM_GAUGES, [("", value)])
    for name in sorted({name for each in figures.workers for name in each.stats}):
        values = [
            (f'{{worker="{each.number}"}}', each.stats[name])
            for each in figures.workers
            if name in each.stats
        ]
        _write(lines, name, name in GAUGES, values)
    return "\n".join([*lines, ""])


def _write(lines: list[str], name: str, gauge: bool, values: Iterable[tuple[str, int]]) -> None:
    full = f"wsfast_{name}" if gauge else f"wsfast_{name}_total"
    lines.append(f"# HELP {full} {name.replace('_', ' ')}")
    lines.append(f"# TYPE {full} {'gauge' if gauge else 'counter'}")
    lines += [f"{full}{labels} {value}" for labels, value in values]


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of "127.0.0.1:9100", "[::1]:9100" or "localhost:0".

    Raises:
        ValueError: it is not of that form.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[3]) > 65535:
        raise ValueError(f"metrics is {text!r}, not HOST:PORT, with an IPv6 address in brackets")
    return found[1] or found[2], int(found[3])


class Metrics:
    """Serves both pages, on a loop that somebody else runs, to few at a time.

    Args:
        sockets: to listen on.
        loop: to live on.
        figures: called for each request.
    """

    def __init__(
        self, sockets: Iterable[socket.socket], loop: Loop, figures: Callable[[], Figures]
    ) -> None:
        site = Site()
        site.add_page("/metrics", lambda request: self._exposition(figures()))
        site.add_page("/stats", lambda request: self._json(figures()))
        self._sockets = list(sockets)
        self._server = Server(site, sockets=self._sockets, loop=loop, limits=_LIMITS)

    @staticmethod
    def _exposition(figures: Figures) -> Any:
        return Response(body=exposition(figures), content_type=_CONTENT_TYPE)

    @staticmethod
    def _json(figures: Figures) -> Any:
        return Response(body=figures.as_json(), content_type="application/json")

    def close(self) -> None:
        """Stop listening, and cut who is asking."""
        self._server.stop_listening()
        for each in list(self._server.settings.endpoints):
            each.disconnect()

    def leave_to_parent(self) -> None:
        """In a child process: close the copies of its sockets; the parent goes on with them.

        Those of who asks are closed with the loop.
        """
        for each in self._sockets:
            each.close()
