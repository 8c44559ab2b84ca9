"""`-o FILE`: the results in the form that the suffix names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wsfast.loadgen.hdrblob import to_text
from wsfast.loadgen.intervals import histogram_of

__all__ = ["SUFFIXES", "check_path", "write"]

#: .hgrm and .hlog are in milliseconds, as the tools of HdrHistogram show them.
NS_PER_MS = 1_000_000.0

COLUMNS = ("second", "seconds", "sent", "received", "lost", "mismatch", "backlog")
TIMES = ("p50", "p99", "max")
STAGE_COLUMNS = (
    *("stage", "seconds", "from_rate", "to_rate", "asked_rate"),
    *("sent", "sent_rate", "received", "received_rate", "censored"),
)
STAGE_TIMES = ("intended", "actual", "lag")


def main_latency(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The histogram that counts: from intended time, of a closed loop from actual time."""
    latency: Mapping[str, Any] = document["latency"]
    found: Mapping[str, Any] = latency.get("intended") or latency["actual"]
    return found


def as_json(document: Mapping[str, Any]) -> str:
    """All of it; docs/bench.md and schema.json say what each key means."""
    return json.dumps(document, indent=2) + "\n"


def as_csv(document: Mapping[str, Any]) -> str:
    """A line for each second of the window; latencies in ns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *(f"{name}_ns" for name in TIMES)])
    for row in document["intervals"]:
        writer.writerow([row[name] for name in (*COLUMNS, *TIMES)])
    return out.getvalue()


def as_stages_csv(document: Mapping[str, Any]) -> str:
    """A line for each stage of the schedule; latencies and lag in ns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    times = [(name, key) for name in STAGE_TIMES for key in TIMES]
    writer.writerow([*STAGE_COLUMNS, *(f"{name}_{key}_ns" for name, key in times), "cpu_percent"])
    for row in document["stages"]:
        shares = row["cpu_percents"]
        writer.writerow(
            [
                *(row[name] for name in STAGE_COLUMNS),
                *(row[name][key] for name, key in times),
                max(shares, default=""),
            ]
        )
    return out.getvalue()


def as_hgrm(document: Mapping[str, Any]) -> str:
    """The percentile distribution, as HistogramLogProcessor and the web plotter read it."""
    from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

    out = io.BytesIO()
    histogram = HdrHistogram.decode(main_latency(document)["hdr"])
    histogram.output_percentile_distribution(out, NS_PER_MS)
    return out.getvalue().decode("ascii")


def as_hlog(document: Mapping[str, Any]) -> str:
    """A histogram for each second of the window, in the log format 1.2 of HdrHistogram."""
    lines = [
        "#[Histogram log format version 1.2]",
        "#[wsfast-bench: latencies in ns, the maximum in ms]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    for row in document["intervals"]:
        blob = to_text(histogram_of(row))
        times = f"{row['second']:.3f},{row['seconds']:.3f},{row['max'] / NS_PER_MS:.3f}"
        lines.append(f"{times},{blob}")
    return "\n".join(lines) + "\n"


def as_prom(document: Mapping[str, Any]) -> str:
    """The text format of Prometheus, for a textfile collector or a push gateway."""
    from prometheus_client import generate_latest

    from wsfast.loadgen.metrics import registry_of

    return generate_latest(registry_of(document)).decode("utf-8")


SUFFIXES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    ".json": as_json,
    ".csv": as_csv,
    ".hgrm": as_hgrm,
    ".hlog": as_hlog,
    ".prom": as_prom,
}


def check_path(path: str) -> str:
    """Refuse a file before the run that could not be written after it.

    Raises:
        ValueError: the suffix is not known, or there is no such directory.
    """
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f"{path!r} ends in none of {' '.join(SUFFIXES)}")
    if not Path(path).resolve().parent.is_dir():
        raise ValueError(f"{path!r}: there is no directory {Path(path).resolve().parent}")
    return path


def write(path: str, document: Mapping[str, Any]) -> None:
    """Write the results of a run; beside a .csv of one with stages a .stages.csv.

    Raises:
        OSError: it cannot be written.
    """
    if Path(path).suffix == ".csv" and document["stages"]:
        Path(path).with_suffix(".stages.csv").write_text(as_stages_csv(document), encoding="utf-8")
    Path(path).write_text(SUFFIXES[Path(path).suffix](document), encoding="utf-8")
