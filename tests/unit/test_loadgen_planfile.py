"""wsfast.loadgen.planfile: a plan becomes command lines, and loads of a phase run at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
if sys.version_info < (3, 11):
    pytest.importorskip("tomli")
planfile = pytest.importorskip("wsfast.loadgen.planfile")

PLAN = """
url = "ws://h/"

[defaults]
connections = "1k"
text = true

[[phase]]
name = "steady"
rate = 500
fail-if = ["p99>20ms", "errors>0"]
quiet = false

[[phase]]
url = "ws://other/"

[[phase.load]]
mode = "fanout"
connect_rate = "2k"

[[phase.load]]
connections = 5
"""


@pytest.fixture
def written(tmp_path):
    """Write a plan; returns its path."""

    def write(text):
        path = tmp_path / "plan.toml"
        path.write_text(text)
        return str(path)

    return write


def test_phases_and_their_loads(written):
    first, second = planfile.phases(planfile.read_toml(written(PLAN)))
    (steady,) = first
    assert steady.phase == "steady"
    assert steady.words[:2] == ("echo", "ws://h/")
    assert " ".join(steady.words[2:]) == (
        "--connections 1k --text --rate 500 --fail-if p99>20ms --fail-if errors>0"
    )
    fanout, echo = second
    assert fanout.phase == echo.phase == "phase 2"
    assert fanout.words[:2] == ("fanout", "ws://other/")
    assert " ".join(fanout.words[2:]) == "--connections 1k --text --connect-rate 2k"
    assert echo.words == ("echo", "ws://other/", "--connections", "5", "--text")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url = 5 5", "plan.toml"),
        ("", "no .*phase"),
        ("colour = 1\n[[phase]]", "'colour' is none of"),
        ("[[phase]]\nmode = 'chat'", "mode 'chat' is none of echo"),
    ],
)
def test_what_is_no_plan(written, text, message):
    with pytest.raises(ValueError, match=message):
        planfile.phases(planfile.read_toml(written(text)))


def test_a_plan_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        planfile.read_toml(str(tmp_path / "absent.toml"))


def run(*words):
    command = [sys.executable, "-m", "wsfast.loadgen", "run", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_a_real_plan(written, tmp_path):
    plan = """
        [defaults]
        connections = 5
        duration = "1s"
        [[phase]]
        name = "alone"
        [[phase]]
        name = "both"
        [[phase.load]]
        rate = 200
        [[phase.load]]
        mode = "ping"
        fail-if = ["received>0"]
    """
    output = tmp_path / "all.json"
    done = run(written(plan), "-o", str(output))
    assert done.returncode == 99, done.stderr
    names = [line.split()[:2] for line in done.stdout.splitlines()]
    assert names == [["alone", "echo"], ["both", "echo"], ["both", "ping"]]
    found = json.loads(output.read_text())
    assert [each["status"] for each in found] == [0, 0, 99]
    assert [each["result"]["mode"] for each in found] == ["echo", "echo", "ping"]


def test_an_option_that_a_mode_does_not_have(written):
    done = run(written("[[phase]]\nwings = 2"))
    assert done.returncode == 2
    assert "--wings" in done.stderr


def test_usage(written):
    done = run(written(""))
    assert done.returncode == 2
    assert "no [[phase]]" in done.stderr
