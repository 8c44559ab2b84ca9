"""wsfast.loadgen.compare: reads what we wrote, and puts it side by side."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

for package in ("click", "hdrh", "numpy"):
    pytest.importorskip(package)
compare = pytest.importorskip("wsfast.loadgen.compare")


def run(p50=1_000_000, throughput=1000.0, **settings):
    return {
        "schema": compare.SCHEMA,
        "program": "wsfast-bench",
        "settings": {"size": 20, "url": "ws://a/", **settings},
        "summary": {"messages_per_second": throughput},
        "latency": {"actual": {"p50": p50}},
        "connections": {"handshake": {"p50": 5000}},
        "errors": {"server": {}, "generator": {}},
        "generator": {},
        "target": None,
        "verdict": {"name": "VALID", "reasons": []},
    }


@pytest.fixture
def files(tmp_path):
    """Write runs to files; returns their paths."""

    def write(*runs):
        paths = []
        for number, each in enumerate(runs):
            paths.append(tmp_path / f"run{number}.json")
            paths[-1].write_text(each if isinstance(each, str) else json.dumps(each))
        return list(map(str, paths))

    return write


def rows(lines):
    return {line.split()[0]: line.split()[1:] for line in lines[1:]}


def test_figures_with_their_ratio():
    found = rows(compare.table([run(), run(p50=2_500_000, throughput=500.0)], ["a", "b"]))
    assert found["p50"] == ["1.00", "ms", "(1.00)", "2.50", "ms", "(2.50)"]
    assert found["throughput"] == ["1,000", "(1.00)", "500", "(0.50)"]
    assert found["errors"] == ["0", "0"]
    assert found["verdict"] == ["VALID", "VALID"]
    assert "p99" not in found, "these runs do not have it"


def test_settings_that_differ():
    runs = [run(), run(size=30, url="ws://b/"), run()]
    assert compare.differences(runs) == ["size: 20, 30, 20"]
    assert compare.differences([run(), run()]) == []


def test_a_file_is_read_as_it_was_written(files):
    (path,) = files(run())
    assert compare.load(path) == run()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no result of wsfast-bench"),
        (json.dumps({"program": "other"}), "is no result"),
        (json.dumps({"program": "wsfast-bench", "schema": 1}), "has schema 1, not 2"),
    ],
)
def test_what_is_no_run(files, content, message):
    (path,) = files(content)
    with pytest.raises(ValueError, match=message):
        compare.load(path)


def test_the_command(files):
    paths = files(run(), run(size=99))
    command = [sys.executable, "-m", "wsfast.loadgen", "compare", *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "run0" in done.stdout
    assert "the settings differ in size: 20, 99" in done.stdout


def test_the_command_without_a_file(tmp_path):
    command = [sys.executable, "-m", "wsfast.loadgen", "compare", str(tmp_path / "absent")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "absent cannot be read" in done.stderr
