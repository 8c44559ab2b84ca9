"""What `status()` says of a library, as data, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

__all__ = ["Report", "State", "as_json", "as_table"]

#: active: replaced. pending: waits for the library's import. skipped: not this version, or
#: nothing to gain with this build of it. refused: a check failed, everything was put back.
#: not-installed, inactive: nobody asked for it.
State = Literal["active", "pending", "skipped", "refused", "not-installed", "inactive"]


class Report(NamedTuple):
    """The state of one library in this process.

    Attributes:
        library: its name on the package index.
        version: the installed one; "" if it is not installed.
        level: "kernels" or "frames" where something is replaced; else "".
        state: see `State`.
        slots: what is replaced, as "module:Class.name".
        stale: copies of an original that other modules hold and go on using.
        note: why not, or what to know.
    """

    library: str
    version: str
    level: str
    state: State
    slots: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    note: str = ""


def as_json(reports: Iterable[Report]) -> str:
    """A JSON array of objects with the fields of `Report`."""
    import json

    return json.dumps([each._asdict() for each in reports], indent=2)


def as_table(reports: Iterable[Report]) -> str:
    """Lines for people: a row for each library, below it what is replaced."""
    rows: list[tuple[str, ...]] = [("library", "version", "level", "state", "slots", "note")]
    details = [""]
    for each in reports:
        count = str(len(each.slots)) if each.slots else ""
        row: tuple[str, ...] = (
            each.library,
            each.version,
            each.level,
            each.state,
            count,
            each.note,
        )
        rows.append(row)
        details.append(_details(each))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row, detail in zip(rows, details, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[5]]).rstrip() + detail)
    return "\n".join(lines)


def _details(report: Report) -> str:
    lines = [f"\n    replaces {slot}" for slot in report.slots]
    lines += [f"\n    stale: {each} still holds the original" for each in report.stale]
    return "".join(lines)
