"""Results and progress as metrics of Prometheus: in a file, or on a port while a run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric

__all__ = ["Listener", "registry_of"]

NS = 1e9


class Results:
    """A collector for what a run measured."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def collect(self) -> Iterable[Metric]:
        """Throughput, latency, connections and errors; times in seconds, as is usual there."""
        document = self._document
        summary = document["summary"]
        rate = GaugeMetricFamily("wsfast_bench_messages_per_second", "Answers a second.")
        rate.add_metric([], summary["messages_per_second"])
        yield rate
        for name in ("sent", "received", "lost", "duplicate", "reordered", "unanswered"):
            said = f"Messages {name} over the run."
            yield CounterMetricFamily(f"wsfast_bench_{name}", said, value=summary[name])
        for name, figures in document["latency"].items():
            yield latency_of(f"wsfast_bench_latency_{name}_seconds", figures)
        yield latency_of("wsfast_bench_handshake_seconds", document["connections"]["handshake"])
        opened = GaugeMetricFamily("wsfast_bench_connections", "By state.", labels=["state"])
        for state in ("asked", "opened", "failed"):
            opened.add_metric([state], document["connections"][state])
        yield opened
        yield errors_of(document["errors"])


def latency_of(name: str, figures: Mapping[str, Any]) -> Metric:
    """A summary with its quantiles."""
    family = SummaryMetricFamily(
        name, "Round trips.", count_value=figures["count"], sum_value=figures["sum"] / NS
    )
    for key, value in figures.items():
        if key.startswith("p") and key[1:2].isdigit():
            quantile = {"quantile": f"{float(key[1:]) / 100:.6g}"}
            family.add_sample(name, quantile, value / NS)
    return family


def errors_of(errors: Mapping[str, Mapping[str, int]]) -> Metric:
    """Errors by side and kind."""
    family = CounterMetricFamily("wsfast_bench_errors", "By side.", labels=["side", "kind"])
    for side, kinds in errors.items():
        for kind, count in kinds.items():
            family.add_metric([side, kind], count)
    return family


def registry_of(document: Mapping[str, Any]) -> CollectorRegistry:
    """A registry that holds the results of one run."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Results(document))
    return registry


class Listener:
    """`--prom-listen`: the progress of a run, over HTTP.

    Args:
        host, port: where to listen; port 0 takes a free one.

    Raises:
        OSError: cannot listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._progress: Mapping[str, int] = {}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        self._server, self._thread = start_http_server(port, host, registry)
        self.port = int(self._server.server_port)

    def update(self, now: float, progress: Mapping[str, Any]) -> None:
        """Take in the sums of the workers; `now` is ignored."""
        self._progress = {name: value for name, value in progress.items() if name != "seconds"}

    def close(self) -> None:
        """Answer no further scrape."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterable[Metric]:
        """The counters as they are."""
        for name, value in self._progress.items():
            yield CounterMetricFamily(f"wsfast_bench_{name}", f"{name} so far.", value=value)
