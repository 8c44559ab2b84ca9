"""Plays the frame dialogues byte by byte against their logs, then whole and cut otherwise."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from dialogue import Dialogue, dialogues, play, without_offsets
from wire import STEPS

FILES = sorted(Path(__file__).parent.glob("[5-8]*.md"))
DIALOGUES = [dialogue for path in FILES for dialogue in dialogues(path)]
each_dialogue = pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda each: each.name)


def difference(expected: list[str], log: list[str]) -> str:
    return "\n".join(difflib.unified_diff(expected, log, "golden file", "played", lineterm=""))


def test_there_are_dialogues():
    assert len(FILES) >= 12
    assert len({dialogue.name for dialogue in DIALOGUES}) == len(DIALOGUES) >= 90


@each_dialogue
def test_log_with_its_offsets(dialogue: Dialogue):
    log = play(dialogue, 1).log
    assert log == dialogue.log, "\n" + difference(dialogue.log, log)


@each_dialogue
def test_any_cut_comes_to_the_same(dialogue: Dialogue):
    expected, bytewise = without_offsets(dialogue.log), play(dialogue, 1)
    for size in STEPS:
        played = play(dialogue, size)
        found = without_offsets(played.log)
        assert found == expected, f"pieces of {size}\n" + difference(expected, found)
        assert played.sent == bytewise.sent


def test_a_wrong_log_is_shown_as_a_difference():
    assert '-5 text "a"\n+5 text "b"' in difference(['5 text "a"'], ['5 text "b"'])


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("```server\n? x\n```\n\n```log\n```\n", "neither < nor >"),
        ("```peer\n< ff\n```\n\n```log\n```\n", "a server or client block"),
        ('```server\n< nothing "x"\n```\n\n```log\n```\n', "NOTHING"),
    ],
)
def test_a_dialogue_that_cannot_be_read_is_an_error(tmp_path: Path, script: str, problem: str):
    path = tmp_path / "5.0-broken.md"
    path.write_text(f"# Broken\n\n## Case\n\n{script}", encoding="utf-8")
    with pytest.raises((ValueError, KeyError), match=problem):
        dialogues(path)
