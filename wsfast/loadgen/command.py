"""`wsfast-bench echo`: what it refuses, and what it exits with."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import click

from wsfast.errors import InvalidURL, LocalProtocolError
from wsfast.loadgen import export
from wsfast.loadgen.contentoptions import CONTENT_OPTIONS, TEMPLATE_OPTIONS, check_content
from wsfast.loadgen.coordinator import CouldNotRun
from wsfast.loadgen.document import document_of
from wsfast.loadgen.embedded import EchoServer
from wsfast.loadgen.live import Progress
from wsfast.loadgen.measurement import OnProgress, measure
from wsfast.loadgen.opening import TOKEN, Opener
from wsfast.loadgen.options import (
    CONNECT_OPTIONS,
    GREETING_OPTIONS,
    HANDSHAKE_OPTIONS,
    LOAD_OPTIONS,
    RESULT_OPTIONS,
    with_options,
)
from wsfast.loadgen.report import failure, print_results
from wsfast.loadgen.results import Results
from wsfast.loadgen.thresholds import Outcome, evaluate, regressions
from wsfast.loadgen.tlsoptions import TLS_OPTIONS, tls_of
from wsfast.loadgen.verdict import VALID

__all__ = [
    "ALONE",
    "EXIT_INTERRUPTED",
    "EXIT_INVALID",
    "EXIT_NOT_RUN",
    "EXIT_THRESHOLD",
    "check",
    "command",
    "finish",
    "run",
    "target_of",
]

EXIT_NOT_RUN = 1
EXIT_INVALID = 3
EXIT_THRESHOLD = 99
EXIT_INTERRUPTED = 130

#: What only a fanout asks for.
ALONE = {"lanes": 0, "topics": 1, "envelope": "{payload}", "gap": 1.0, "embedded": None}

EPILOG = """
\b
Amounts: counts 500 10k 5m, sizes 20 16k 1mib, durations 500ms 2s 5m.
\b
Examples:
  wsfast-bench -c 100 -d 5s                     against an echo server of its own
  wsfast-bench ws://localhost:8000/ -c 10k -p 4
  wsfast-bench ws://localhost:8000/ -c 1k -r 20k -d 1m --warmup 5s
  wsfast-bench ws://localhost:8000/ --stages 30s:1k,2m:10k --arrivals poisson
  wsfast-bench ws://10.0.0.5/ws -n 1m -s 1k -o run.json -o run.hlog
  wsfast-bench ws://localhost:8000/ --template '{"id": {{seq}}, "op": "add"}' --match json:id
  wsfast-bench ws://localhost:8000/ -s 1m --fragments 64k --first-message @login.json
\b
Exit status: 0 measured, 1 nothing measured, 2 usage, 3 not valid (--strict), 99 a condition
  failed (--fail-if, --baseline), 130 interrupted (results are printed and written).
"""


@click.command("echo", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", required=False)
@with_options(LOAD_OPTIONS, CONTENT_OPTIONS, TEMPLATE_OPTIONS, GREETING_OPTIONS)
@with_options(CONNECT_OPTIONS, HANDSHAKE_OPTIONS, TLS_OPTIONS, RESULT_OPTIONS)
def command(url: str | None, **options: Any) -> None:
    """Measure a WebSocket echo server, every answer checked.

    With --rate messages are due on a schedule, whatever the server does (open loop); else each
    connection sends its next message when it was answered (closed loop).

    Without URL it starts wsfast-echo on a free port and measures that.
    """
    options = {**ALONE, **options, "mode": "echo"}
    check(url, options)
    sys.exit(run(url, options))


def run(url: str | None, options: dict[str, Any]) -> int:
    """Measure, and report; the exit status."""
    progress = Progress(sys.stderr, quiet=options["quiet"])
    watchers: list[OnProgress] = [progress.update]

    def on_progress(now: float, state: dict[str, Any]) -> None:
        for watcher in watchers:
            watcher(now, state)

    try:
        with contextlib.ExitStack() as stack:
            stack.callback(progress.close)
            if options["prom_listen"] is not None:
                from wsfast.loadgen.metrics import Listener

                listener = Listener(*options["prom_listen"])
                stack.callback(listener.close)
                watchers.append(listener.update)
            url = target_of(url, options, stack)
            results = measure(url, options, on_progress)
    except (CouldNotRun, OSError) as error:
        print(f"wsfast-bench: {error}", file=sys.stderr)
        return EXIT_NOT_RUN
    except KeyboardInterrupt as error:  # before there was a run, or a second time within it
        print(f"wsfast-bench: {str(error) or 'interrupted'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return finish(results, options)


def target_of(url: str | None, options: dict[str, Any], stack: contextlib.ExitStack) -> str:
    """The URL to measure; without one, of a server that the stack stops.

    Raises:
        OSError: the server did not start.
    """
    if url is not None:
        return url
    server = EchoServer(options["connections"], options["cpu"], options["embedded"])
    stack.enter_context(server)
    options["target_pid"] = options["target_pid"] or server.pid
    return server.url


def check(url: str | None, options: dict[str, Any]) -> None:
    """Refuse what cannot be meant, before anything is started.

    Raises:
        click.UsageError: with the option and the limit.
    """
    check_load(options)
    for name in ("connections", "messages"):
        least = options["workers"] or 1
        if options.get(name) is not None and options[name] < least:
            raise click.UsageError(f"--{name} {options[name]} is less than --workers {least}")
    check_handshake(url or "ws://localhost/", options)


def check_handshake(url: str, options: dict[str, Any]) -> None:
    """Refuse a URL or a request that cannot be sent.

    Raises:
        click.UsageError: with the rule.
    """
    tokens = options["tokens"] or []
    wanted = any(TOKEN in text for text in (url, *(value for _, value in options["headers"])))
    if wanted != bool(tokens):
        raise click.UsageError(f"--tokens and {TOKEN} in the URL or a header go together")
    if tokens and len(tokens) < options["connections"]:
        raise click.UsageError(
            f"--tokens holds {len(tokens)} for {options['connections']} connections"
        )
    try:
        Opener(
            url,
            headers=options["headers"],
            origin=options["origin"],
            subprotocols=options["subprotocols"],
            tokens=tokens[:1],
        )
    except (InvalidURL, LocalProtocolError) as error:
        raise click.UsageError(str(error)) from None
    tls_of(url, options)


def check_load(options: dict[str, Any]) -> None:
    """Refuse a load that contradicts itself, and fill in what follows from the rest.

    Raises:
        click.UsageError: with the option and the rule.
    """
    check_content(options)
    stages, rate = options["stages"], options["rate"]
    if stages is not None:
        if options["duration"] is not None:
            raise click.UsageError("--duration does not go with --stages, which say it")
        options["duration"] = sum(seconds for seconds, _ in stages)
        if rate is None:
            rate = options["rate"] = 0.0
    elif options["messages"] is None and options["duration"] is None:
        options["duration"] = 10.0
    if rate is not None and options["think"] is not None:
        raise click.UsageError("--think is of a closed loop; --rate and --stages make it open")
    if rate is not None and options["in_flight"] != 1:
        raise click.UsageError("--in-flight is of a closed loop; --rate and --stages make it open")
    if rate is None and options["arrivals"] != "constant":
        raise click.UsageError("--arrivals is of an open loop; it needs --rate or --stages")


def finish(results: Results, options: dict[str, Any]) -> int:
    """Print and write the results, and why there are none if so; the exit status."""
    reason = None if results.interrupted else failure(results)
    document = document_of(results)
    try:
        outcomes = judge_conditions(document, options) if reason is None else []
    except ValueError as error:
        reason, outcomes = str(error), []
    document["thresholds"] = [outcome._asdict() for outcome in outcomes]
    for path in options["outputs"]:
        export.write(path, document)
    if options["as_json"]:
        json.dump(document, sys.stdout, indent=2)
        print()
    elif results.counts["opened"] or results.interrupted:
        print_results(results, sys.stdout)
    for outcome in outcomes:
        print(f"{'FAILED' if outcome.failed else 'passed'}: {outcome.condition}", file=sys.stderr)
    if reason is not None:
        print(f"wsfast-bench: {reason}", file=sys.stderr)
        return EXIT_NOT_RUN
    if results.interrupted:
        return EXIT_INTERRUPTED
    if any(outcome.failed for outcome in outcomes):
        return EXIT_THRESHOLD
    invalid = options["strict"] and document["verdict"]["name"] != VALID
    return EXIT_INVALID if invalid else 0


def judge_conditions(document: dict[str, Any], options: dict[str, Any]) -> list[Outcome]:
    """What became of --fail-if and --baseline.

    Raises:
        ValueError: a condition names a figure that the run does not have.
    """
    outcomes = [evaluate(condition, document) for condition in options["conditions"]]
    if options["baseline"] is not None:
        outcomes += regressions(document, options["baseline"], options["max_regress"])
    return outcomes
