"""What is said of a library: as data, as JSON, as a table."""

from __future__ import annotations

import json
from typing import get_args

from wsfast.speedups.report import Report, State, as_json, as_table

ACTIVE = Report(
    library="websockets",
    version="17.4",
    level="frames",
    state="active",
    slots=("websockets.frames:Frame.parse", "websockets.frames:Frame.serialize"),
    stale=("application.parse",),
    note="what to know",
)
ABSENT = Report(library="ws4py", version="", level="", state="not-installed")


def test_the_fields_are_these_and_stay_these() -> None:
    """Tools read them; a new one goes to the end."""
    assert Report._fields == ("library", "version", "level", "state", "slots", "stale", "note")
    assert ABSENT[4:] == ((), (), "")


def test_json_has_an_object_for_each_report() -> None:
    assert json.loads(as_json([ACTIVE, ABSENT])) == [
        {
            "library": "websockets",
            "version": "17.4",
            "level": "frames",
            "state": "active",
            "slots": ["websockets.frames:Frame.parse", "websockets.frames:Frame.serialize"],
            "stale": ["application.parse"],
            "note": "what to know",
        },
        {
            "library": "ws4py",
            "version": "",
            "level": "",
            "state": "not-installed",
            "slots": [],
            "stale": [],
            "note": "",
        },
    ]


def test_json_of_nothing() -> None:
    assert json.loads(as_json([])) == []


def test_json_takes_any_iterable() -> None:
    assert len(json.loads(as_json(each for each in (ACTIVE, ABSENT)))) == 2


def test_the_table_has_a_row_for_each_and_its_slots_below() -> None:
    assert as_table([ACTIVE, ABSENT]).splitlines() == [
        "library     version  level   state          slots  note",
        "websockets  17.4     frames  active         2      what to know",
        "    replaces websockets.frames:Frame.parse",
        "    replaces websockets.frames:Frame.serialize",
        "    stale: application.parse still holds the original",
        "ws4py                        not-installed",
    ]


def test_the_table_of_nothing_is_its_head() -> None:
    assert as_table([]) == "library  version  level  state  slots  note"


def test_no_line_ends_in_blanks() -> None:
    rows = [ABSENT, ACTIVE._replace(note="", stale=()), ABSENT._replace(state="pending")]
    assert all(line == line.rstrip() for line in as_table(rows).splitlines())


def test_a_long_note_does_not_widen_the_columns() -> None:
    lines = as_table([ABSENT, ABSENT._replace(note="long " * 50)]).splitlines()
    assert len(lines[0]) < 60
    assert lines[2].startswith(lines[1])


def test_the_states_are_these() -> None:
    assert get_args(State) == (
        *("active", "pending", "skipped", "refused", "not-installed", "inactive"),
    )
