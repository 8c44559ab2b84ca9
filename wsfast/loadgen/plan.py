"""The plan of a run: what was asked for, cut into one piece per worker process."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import ipaddress
import math
import os
import random
import socket
from typing import Any

__all__ = [
    "CONNECTIONS_PER_SOURCE",
    "MAX_IN_FLIGHT",
    "SPARE_DESCRIPTORS",
    "Plan",
    "choose_sources",
    "cpus_beside",
    "content_of",
    "resolve",
    "split",
    "workers_for",
]

#: Connections from one source address: half of what Linux offers by default (28,232 ports), as
#: the kernel's search for a free port slows down long before the last one.
CONNECTIONS_PER_SOURCE = 15_000

#: What a worker needs beside its connections: pipes, epoll, timerfd, eventfd, what Python holds.
SPARE_DESCRIPTORS = 64

#: Messages under way on a connection: the stamp of a text message numbers so many of them.
MAX_IN_FLIGHT = 1 << 24

#: How long an address of a host that has several may take to accept a connection.
PROBE_SECONDS = 2.0

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one process has to do. Plain values only: it travels as JSON.

    Attributes:
        url: the ws:// URL, for the opening handshake.
        address: where to connect to, a numeric IP address.
        port: and its port.
        connections: how many to open.
        tls: of a wss:// URL: the arguments of `TlsClient`; None without TLS.
        first: number of the first of them among all workers; decides the source address.
        in_flight: messages that each connection keeps under way.
        headers: of the request, names and values, beside those of every WebSocket request.
        origin: value of its Origin header, or None.
        subprotocols: names to offer, the preferred one first.
        tokens: one for each connection, where the URL or a header says "{token}"; empty: none.
        mode: what the connections do: "echo", or "ping": the same with pings and pongs;
            "fanout": some publish and the others get it; "recv": they only receive.
        publishers: of a fanout: the first connections of this worker publish.
        lanes: publishers of the whole run; 0: nobody publishes.
        topics: of a fanout: messages and subscribers are spread over so many.
        envelope: text around a published message: "{payload}" stands for it, "{topic}" for its
            topic, 0 to topics - 1.
        gap_seconds: a longer time between two messages of a connection counts as a gap.
        first_message: text that each connection sends when it has opened, or None; "{topic}"
            stands for the subscriber's topic, "{number}" for the number of the connection.
        first_answers: messages that answer the first one, are waited for, and count for nothing.
        first_prefix: what such a message begins with; others before count for nothing, too. None:
            any message is one.
        lifetime_seconds: after half of it to all of it a connection is closed and opened again;
            0: never.
        reconnect: open a connection again when it ended within the window, whoever ended it.
        rate: messages/s of all connections together, on a schedule (open loop); None: each
            connection sends when it was answered (closed loop).
        stages: (seconds, rate) pairs: from `rate` on in straight lines; empty: `rate` stays.
        arrivals: of the schedule: "constant" or "poisson".
        phase: 0 to 1: where in its first gap the schedule of this worker starts.
        think_seconds: of a closed loop: from an answer to the next message of its connection.
        content: what every message holds, in base64; None: a stamp and random bytes.
        size: payload bytes of a message; where they vary, of the longest one.
        least_size: sizes are evenly distributed from here to `size`; None: they are not.
        mean_size: sizes are exponentially distributed around it; None: they are not.
        template: what every message is written from (see wsfast.loadgen.template), or None.
        worker: number of this process; a template may say it.
        match: which message an answer is to (see wsfast.loadgen.reply); None: it is an echo, and
            is compared with what was sent.
        fragments: frames of a message; 0: one, or as many as `fragment_bytes` makes.
        fragment_bytes: payload of a frame but the last of a message; 0: all of it.
        verify: how an answer is checked: "full", "length" or "none".
        text: send text messages instead of binary ones.
        warmup_seconds: how long to send before the window; what belongs there is kept apart.
        seconds: how long the window is; None: until `messages` are sent.
        messages: how many to send in all; None: until `seconds` are over.
        connect_rate: connections to open in a second; None: as fast as they come.
        opening: how many handshakes may be under way at once.
        sources: numeric source addresses to bind to, `CONNECTIONS_PER_SOURCE` each; empty: none.
        connect_seconds: deadline of a connection, from connect to the 101.
        drain_seconds: how long to wait for answers after the last message was sent.
        seed: of the random payload, so that a run can be repeated.
        cpu: the CPU to run on; None: any.
    """

    url: str
    address: str
    port: int
    connections: int
    tls: dict[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    subprotocols: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    mode: str = "echo"
    publishers: int = 0
    lanes: int = 0
    topics: int = 1
    envelope: str = "{payload}"
    gap_seconds: float = 1.0
    first_message: str | None = None
    first_answers: int = 0
    first_prefix: str | None = None
    lifetime_seconds: float = 0.0
    reconnect: bool = False
    first: int = 0
    in_flight: int = 1
    rate: float | None = None
    stages: tuple[tuple[float, float], ...] = ()
    arrivals: str = "constant"
    phase: float = 0.0
    think_seconds: float = 0.0
    content: str | None = None
    size: int = 20
    least_size: int | None = None
    mean_size: float | None = None
    template: str | None = None
    worker: int = 0
    match: str | None = None
    fragments: int = 0
    fragment_bytes: int = 0
    verify: str = "full"
    text: bool = False
    warmup_seconds: float = 0.0
    seconds: float | None = None
    messages: int | None = None
    connect_rate: float | None = None
    opening: int = 128
    sources: tuple[str, ...] = ()
    connect_seconds: float = 10.0
    drain_seconds: float = 2.0
    seed: int = 0
    cpu: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Plan:
        """The plan that `to_dict` took apart.

        Raises:
            TypeError: a field is unknown or missing.
            KeyError: a list is missing.
        """
        lists = {name: tuple(fields[name]) for name in ("sources", "subprotocols", "tokens")}
        pairs = {name: tuple(map(tuple, fields[name])) for name in ("stages", "headers")}
        return cls(**{**fields, **lists, **pairs})

    def all_stages(self) -> list[tuple[float, float]]:
        """What a Schedule takes: the warm-up at `rate`, then the stages, or `rate` to the end."""
        assert self.rate is not None
        warmup = [(self.warmup_seconds, self.rate)] if self.warmup_seconds else []
        endless = math.inf if self.seconds is None else self.seconds
        return [*warmup, *(self.stages or [(endless, self.rate)])]

    def source_of(self, index: int) -> str | None:
        """The source address of a connection of this worker, or None to let the kernel choose.

        Args:
            index: 0 to connections - 1.
        """
        if not self.sources:
            return None
        return self.sources[(self.first + index) // CONNECTIONS_PER_SOURCE % len(self.sources)]


def resolve(host: str, port: int) -> str:
    """The numeric address to connect to.

    Of several addresses it is the first at which somebody listens, which takes a connection to
    find out: "localhost" is ::1 as well on many hosts, and many servers listen on 127.0.0.1 only.

    Args:
        host: a name or a numeric address.
        port: where the server should listen.

    Raises:
        OSError: the name is not known.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(f"the host {host!r} is not known: {error}") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses if len(addresses) > 1 else ():
        with contextlib.suppress(OSError):
            socket.create_connection((address, port), PROBE_SECONDS).close()
            return address
    return addresses[0]


def choose_sources(bind: str, address: str, connections: int) -> tuple[str, ...]:
    """The source addresses of a run.

    Args:
        bind: "auto" (127.0.0.2, 127.0.0.3 ... if the target is on 127.0.0.0/8, else none),
            "none", or numeric addresses with commas between.
        address: numeric address of the target.
        connections: of all workers together.

    Raises:
        ValueError: an address is not numeric, or of another family than the target.
    """
    target = ipaddress.ip_address(address)
    if bind == "none" or (bind == "auto" and target not in LOOPBACK):
        return ()
    if bind == "auto":
        needed = max(1, -(-connections // CONNECTIONS_PER_SOURCE))
        first = int(ipaddress.ip_address("127.0.0.2"))
        return tuple(str(ipaddress.ip_address(first + step)) for step in range(needed))
    chosen = [ipaddress.ip_address(part.strip()) for part in bind.split(",")]
    for source in chosen:
        if source.version != target.version:
            raise ValueError(f"source {source} and target {target} are of different IP versions")
    return tuple(str(source) for source in chosen)


def share(total: int, parts: int, part: int) -> int:
    """The size of one of `parts` pieces of `total` that differ by at most one."""
    return total // parts + (part < total % parts)


def split(plan: Plan, workers: int, cpus: tuple[int, ...] = ()) -> list[Plan]:
    """Cut a plan into one for each worker; connections, messages and rates add up to the whole.

    Args:
        plan: of all workers together.
        workers: how many pieces, at most one per connection and per message.
        cpus: CPUs to pin the workers to in turn; empty: none.
    """
    pieces = []
    first = plan.first
    for worker in range(workers):
        connections = share(plan.connections, workers, worker)
        piece = dataclasses.replace(
            plan,
            connections=connections,
            first=first,
            tokens=plan.tokens[first - plan.first : first - plan.first + connections],
            messages=None if plan.messages is None else share(plan.messages, workers, worker),
            connect_rate=None if plan.connect_rate is None else plan.connect_rate / workers,
            **schedule_of(plan, worker, workers),
            seed=plan.seed + worker,
            worker=worker,
            cpu=cpus[worker % len(cpus)] if cpus else None,
        )
        first += connections
        pieces.append(piece)
    return pieces


def schedule_of(plan: Plan, worker: int, workers: int) -> dict[str, Any]:
    """The schedule of one worker: an even share; of a fanout the first worker has all of it."""
    if plan.mode == "fanout":
        own = worker == 0
        return {"rate": plan.rate if own else None, "publishers": plan.lanes if own else 0}
    return {
        "rate": None if plan.rate is None else plan.rate / workers,
        "stages": tuple((seconds, rate / workers) for seconds, rate in plan.stages),
        "phase": worker / workers,
    }


def content_of(plan: Plan) -> bytes:
    """What every message of a worker starts from: what the plan says, or random content.

    Random content is printable ASCII for text, random bytes else.

    A stamp is written over its first eight bytes (see wsfast.loadgen.payload).
    """
    source = random.Random(plan.seed)
    if plan.content is not None:
        return base64.b64decode(plan.content)
    if plan.text:
        return bytes(source.choices(range(0x20, 0x7F), k=plan.size))
    return source.randbytes(plan.size)


def workers_for(connections: int, descriptors: int) -> int:
    """How many processes it takes when each may hold so many descriptors."""
    return max(1, -(-connections // max(1, descriptors - SPARE_DESCRIPTORS)))


def cpus_beside(cpus: tuple[int, ...]) -> set[int]:
    """The CPUs of this process that are not in `cpus`; all of them if none would be left."""
    allowed = os.sched_getaffinity(0)
    return (allowed - set(cpus)) or allowed
