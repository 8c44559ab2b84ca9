"""wsfast.loadgen.command: options become a plan, and nonsense a usage error before any work."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from typing import NamedTuple

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the engine runs on epoll", allow_module_level=True)
pytest.importorskip("numpy")
pytest.importorskip("rich")
pytest.importorskip("click")
command = pytest.importorskip("wsfast.loadgen.command")
measurement = pytest.importorskip("wsfast.loadgen.measurement")

from scraping import scrape  # noqa: E402
from wsfast.loadgen import metrics  # noqa: E402
from wsfast.loadgen.plan import content_of  # noqa: E402
from wsfast.loadgen.results import Results  # noqa: E402

URL = "ws://127.0.0.1:9/path"


class Recorder:
    """Stands in for the coordinator: keeps its arguments, and returns given counts."""

    def __init__(self, **counts):
        self.counts = {"asked": 1, "opened": 1, "sent": 1, "received": 1, **counts}
        self.interrupted = False

    def __call__(self, plans, *, settings, target_pid, on_progress):
        self.plans, self.settings, self.target_pid = plans, settings, target_pid
        self.on_progress = on_progress
        return self

    def run(self):
        results = Results(settings=self.settings, interrupted=self.interrupted)
        results.counts.update(self.counts)
        return results


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(measurement, "Coordinator", recorder)
    return recorder


class Ran(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


def invoke(*arguments):
    """Run the command as its entry does (click's own runner mixes stderr in before click 8.2)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with pytest.raises(SystemExit) as ended:
            command.command.main(list(arguments), prog_name="wsfast-bench")
    return Ran(ended.value.code, out.getvalue(), err.getvalue())


def test_defaults(recorder):
    assert invoke(URL).exit_code == 0
    (plan,) = recorder.plans
    assert (plan.url, plan.address, plan.port) == (URL, "127.0.0.1", 9)
    assert (plan.connections, plan.in_flight, plan.size, plan.text) == (100, 1, 20, False)
    assert (plan.seconds, plan.messages, plan.connect_rate) == (10.0, None, None)
    assert plan.sources == ("127.0.0.2",)
    assert recorder.target_pid is None


def test_every_option(recorder):
    cpu = str(min(os.sched_getaffinity(0)))
    arguments = "-c 1k -d 2m -n 1m -s 16k -p 4 -w 3 -t --connect-rate 2k --connect-timeout 1s"
    arguments += f" --drain 500ms --bind none --cpu {cpu} --target-pid 7 --json -q"
    result = invoke(URL, *arguments.split())
    assert result.exit_code == 0
    plans = recorder.plans
    assert sum(plan.connections for plan in plans) == 1000
    assert sum(plan.messages for plan in plans) == 10**6
    plan = plans[0]
    assert (plan.seconds, plan.size, plan.in_flight, plan.text) == (120.0, 16384, 4, True)
    assert plan.connect_rate == pytest.approx(2000 / 3)
    assert (plan.connect_seconds, plan.drain_seconds) == (1.0, 0.5)
    assert (plan.sources, plan.cpu, recorder.target_pid) == ((), int(cpu), 7)
    shown = json.loads(result.stdout)["settings"]
    assert (shown["connections"], shown["workers"], shown["cpus"]) == (1000, 3, [int(cpu)])


def test_an_open_loop(recorder):
    arguments = (
        "-r 9k --arrivals poisson --warmup 2s -d 10s -s 20-2k --verify length --seed 5 -w 3"
    )
    assert invoke(URL, *arguments.split()).exit_code == 0
    plans = recorder.plans
    assert [plan.rate for plan in plans] == [3000.0] * 3
    assert [plan.phase for plan in plans] == pytest.approx([0, 1 / 3, 2 / 3])
    plan = plans[0]
    assert (plan.arrivals, plan.warmup_seconds, plan.seconds) == ("poisson", 2.0, 10.0)
    assert (plan.size, plan.least_size, plan.verify, plan.seed) == (2048, 20, "length", 5)
    assert plan.all_stages() == [(2.0, 3000.0), (10.0, 3000.0)]
    assert "phase" not in recorder.settings


def test_what_the_handshake_says(recorder, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(f"secret{number}\n" for number in range(5)))
    arguments = ["-H", "Authorization: Bearer {token}", "--tokens", str(tokens), "-c", "4"]
    arguments += ["--cookie", "a=b", "--cookie", "c=d", "--origin", "https://h"]
    arguments += ["--subprotocol", "chat", "-w", "2", "--json"]
    result = invoke(URL, *arguments)
    assert result.exit_code == 0, result.stderr
    first, second = recorder.plans
    assert first.headers == (("Authorization", "Bearer {token}"), ("Cookie", "a=b; c=d"))
    assert first.tokens + second.tokens == tuple(f"secret{number}" for number in range(4))
    assert (first.origin, first.subprotocols) == ("https://h", ("chat",))
    assert "secret" not in result.stdout, "results are shown to others"
    assert "Bearer" not in result.stdout


def test_a_token_in_the_url(recorder, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("t0\n")
    url = "ws://127.0.0.1:9/{token}"
    assert invoke(url, "--tokens", str(tokens), "-c", "1").exit_code == 0
    assert recorder.plans[0].url == url
    few = invoke(url, "--tokens", str(tokens), "-c", "2")
    assert few.exit_code == 2
    assert "holds 1 for 2 connections" in few.stderr
    nowhere = invoke(URL, "--tokens", str(tokens), "-c", "1")
    assert "go together" in nowhere.stderr


def test_a_message_of_the_user(recorder, tmp_path):
    assert invoke(URL, "-m", "grüße", "--json").exit_code == 0
    plan = recorder.plans[0]
    assert (content_of(plan), plan.text, plan.size) == ("grüße".encode(), True, 7)
    path = tmp_path / "message"
    path.write_bytes(b"\xff\x00")
    assert invoke(URL, "-f", str(path)).exit_code == 0
    plan = recorder.plans[0]
    assert (content_of(plan), plan.text, plan.size) == (b"\xff\x00", False, 2)
    as_text = invoke(URL, "-f", str(path), "-t")
    assert as_text.exit_code == 2
    assert "no UTF-8" in as_text.stderr
    both = invoke(URL, "-f", str(path), "-m", "x")
    assert "do not go together" in both.stderr


def test_stages_say_how_long(recorder):
    assert invoke(URL, "--stages", "30s:1k,2m:0").exit_code == 0
    (plan,) = recorder.plans
    assert (plan.rate, plan.seconds) == (0.0, 150.0)
    assert plan.all_stages() == [(30.0, 1000.0), (120.0, 0.0)]


def test_thinking(recorder):
    assert invoke(URL, "--think", "250ms", "-s", "exp:1k").exit_code == 0
    (plan,) = recorder.plans
    assert (plan.think_seconds, plan.rate) == (0.25, None)
    assert (plan.mean_size, plan.size) == (1024.0, 16384)


def test_messages_without_a_duration_have_no_end_in_time(recorder):
    invoke(URL, "-n", "5")
    assert (recorder.plans[0].seconds, recorder.plans[0].messages) == (None, 5)


def test_as_many_workers_as_descriptors_ask_for(recorder, monkeypatch):
    monkeypatch.setattr(measurement, "raise_descriptor_limit", lambda: 1064)
    assert invoke(URL, "-c", "2500").exit_code == 0
    assert len(recorder.plans) == 3
    result = invoke(URL, "-c", "2500", "-w", "2")
    assert result.exit_code == command.EXIT_NOT_RUN
    assert "use -w 3" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://127.0.0.1/"], "ws or wss"),
        ([URL, "-k"], "--insecure is for wss://"),
        (["wss://127.0.0.1/", "--key", "x"], "--key goes with --cert"),
        (["wss://127.0.0.1/", "-k", "--cacert", "x"], "--cacert does not go with it"),
        (["wss://127.0.0.1/", "--cacert", "absent"], "authorities cannot be read"),
        (["wss://127.0.0.1/", "--tls-min", "1.1"], "--tls-min"),
        (["wss://127.0.0.1/", "--tls-min", "1.3", "--tls-max", "1.2"], "below"),
        ([URL, "-c", "0"], "less than 1"),
        ([URL, "-p", "1g"], "more than 16777216"),
        ([URL, "-s", "1025m"], "more than 1073741824"),
        ([URL, "-c", "ten"], "no amount"),
        ([URL, "-d", "0s"], "longer than zero"),
        ([URL, "-s", "20s"], "no unit of bytes"),
        ([URL, "-c", "2", "-w", "3"], "--workers 3"),
        ([URL, "-n", "2", "-w", "3"], "--workers 3"),
        ([URL, "--cpu", "one"], "list of CPU numbers"),
        ([URL, "--cpu", "99999"], "99999"),
        ([URL, "--bind", "::1"], "different IP versions"),
        ([URL, "--surprise"], "--surprise"),
        ([URL, "-r", "5", "--think", "1s"], "--think is of a closed loop"),
        ([URL, "-r", "5", "-p", "2"], "--in-flight is of a closed loop"),
        ([URL, "--arrivals", "poisson"], "needs --rate or --stages"),
        ([URL, "--stages", "1s:5", "-d", "5s"], "--duration does not go with --stages"),
        ([URL, "--stages", "1s"], "no stage like 30s:1k"),
        ([URL, "-r", "0"], "less than 1"),
        ([URL, "-s", "20-10"], "empty range"),
        ([URL, "-s", "exp:0"], "a mean size is 1 byte or more"),
        ([URL, "-s", "exp:1024m"], "more than 1073741824"),
        ([URL, "--verify", "some"], "some"),
        ([URL, "-o", "run.txt"], "ends in none of"),
        ([URL, "-H", "nonsense"], "no header like"),
        ([URL, "-f", "absent"], "absent cannot be read"),
        ([URL, "-H", "Bad Name: x"], "Bad Name"),
        ([URL, "--subprotocol", "not a token"], "not a token"),
        ([URL, "-H", "X: {token}"], "go together"),
        ([URL, "--tokens", "absent"], "cannot be read"),
        ([URL, "-o", "no/where/run.json"], "there is no directory"),
        ([URL, "--fail-if", "p99"], "no condition like"),
        ([URL, "--fail-if", "p99>20"], "has a unit"),
        ([URL, "--baseline", "absent.json"], "cannot be read"),
        ([URL, "--max-regress", "-5%"], "less than 0"),
        ([URL, "--prom-listen", "localhost"], "no [HOST]:PORT"),
        ([URL, "--target-pid", "0"], "--target-pid"),
    ],
)
def test_usage_errors(recorder, arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not hasattr(recorder, "plans")


def test_an_interrupted_run_prints_what_it_has(recorder):
    recorder.interrupted = True
    result = invoke(URL)
    assert result.exit_code == command.EXIT_INTERRUPTED
    assert "Interrupted" in result.stdout


def test_no_connection_is_not_a_measurement(recorder):
    recorder.counts.update(opened=0, sent=0, received=0)
    result = invoke(URL)
    assert result.exit_code == command.EXIT_NOT_RUN
    assert result.stderr == f"wsfast-bench: no connection to {URL} could be opened\n"
    assert result.stdout == ""
    as_json = invoke(URL, "--json")
    assert as_json.exit_code == command.EXIT_NOT_RUN
    assert json.loads(as_json.stdout)["connections"]["opened"] == 0


def test_no_answer_is_not_a_measurement(recorder):
    recorder.counts["received"] = 0
    result = invoke(URL)
    assert result.exit_code == command.EXIT_NOT_RUN
    assert result.stderr == f"wsfast-bench: no message was answered by {URL}\n"
    assert "1 of 1 opened" in result.stdout


def test_an_interrupt_before_anything_opened(recorder):
    recorder.counts.update(opened=0, sent=0, received=0)
    recorder.interrupted = True
    result = invoke(URL)
    assert (result.exit_code, result.stderr) == (command.EXIT_INTERRUPTED, "")
    assert "0 of 1 opened" in result.stdout


@pytest.mark.parametrize("words", [(), ("interrupted twice",)])
def test_an_interrupt_without_results(recorder, words):
    def interrupt():
        raise KeyboardInterrupt(*words)

    recorder.run = interrupt
    result = invoke(URL)
    assert result.exit_code == command.EXIT_INTERRUPTED
    assert (result.stdout, result.stderr) == ("", f"wsfast-bench: {(*words, 'interrupted')[0]}\n")


def test_a_run_that_does_not_come_about(recorder):
    def fail():
        raise command.CouldNotRun("a worker ended")

    recorder.run = fail
    result = invoke(URL)
    assert result.exit_code == command.EXIT_NOT_RUN
    assert "wsfast-bench: a worker ended" in result.stderr


def test_a_host_that_is_not_known(recorder, monkeypatch):
    def fail(host, port):
        raise OSError(f"the host {host!r} is not known")

    monkeypatch.setattr(measurement, "resolve", fail)
    result = invoke("ws://somewhere/")
    assert result.exit_code == command.EXIT_NOT_RUN
    assert result.stderr == "wsfast-bench: the host 'somewhere' is not known\n"


def test_help_shows_examples():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "wsfast-bench -c 100 -d 5s" in result.stdout
    assert "Exit status" in result.stdout


def test_results_are_written_by_suffix(recorder, tmp_path):
    files = [str(tmp_path / f"run{suffix}") for suffix in (".json", ".csv", ".hgrm")]
    outputs = [word for path in files for word in ("-o", path)]
    result = invoke(URL, *outputs)
    assert result.exit_code == 0
    assert json.loads((tmp_path / "run.json").read_text())["schema"] == 2
    assert (tmp_path / "run.csv").read_text().startswith("second,")
    assert "Percentile" in (tmp_path / "run.hgrm").read_text()


def test_conditions(recorder):
    result = invoke(URL, "--fail-if", "received<1", "--fail-if", "errors>0")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-2:] == ["passed: received<1", "passed: errors>0"]
    result = invoke(URL, "--fail-if", "received<2", "--json")
    assert result.exit_code == command.EXIT_THRESHOLD == 99
    assert "FAILED: received<2" in result.stderr
    (outcome,) = json.loads(result.stdout)["thresholds"]
    assert outcome == {"condition": "received<2", "value": 1.0, "failed": True}


def test_a_condition_on_what_was_not_measured(recorder):
    result = invoke(URL, "--fail-if", "reach<1")
    assert result.exit_code == command.EXIT_NOT_RUN
    assert "no figure 'reach'" in result.stderr


def test_a_baseline(recorder, tmp_path):
    path = tmp_path / "before.json"
    assert invoke(URL, "-o", str(path)).exit_code == 0
    before = json.loads(path.read_text())
    assert invoke(URL, "--baseline", str(path)).exit_code == 0
    before["summary"]["messages_per_second"] = 100.0
    path.write_text(json.dumps(before))
    result = invoke(URL, "--baseline", str(path), "--max-regress", "20%")
    assert result.exit_code == 99
    assert "throughput against the baseline, -100.0 % (at most 20 %)" in result.stderr


def test_strict_wants_a_valid_measurement(recorder):
    recorder.counts["backlog"] = 5
    assert invoke(URL, "-r", "1k").exit_code == 0
    assert invoke(URL, "-r", "1k", "--strict").exit_code == command.EXIT_INVALID == 3


@pytest.mark.parametrize("outcome", ["condition", "strict"])
def test_an_interrupt_goes_before_conditions(recorder, outcome):
    recorder.interrupted = True
    recorder.counts["backlog"] = 5
    arguments = ["--strict", "-r", "5"] if outcome == "strict" else ["--fail-if", "received<2"]
    assert invoke(URL, *arguments).exit_code == command.EXIT_INTERRUPTED == 130


def test_progress_goes_to_prometheus(recorder, monkeypatch):
    listening, scraped = [], []

    class Listener(metrics.Listener):
        def __init__(self, *address):
            super().__init__(*address)
            listening.append(self.port)

    def run():
        recorder.on_progress(1.0, {"sent": 7})
        scraped.append(scrape(listening[0]))
        return Recorder.run(recorder)

    monkeypatch.setattr(metrics, "Listener", Listener)
    recorder.run = run
    assert invoke(URL, "--prom-listen", "127.0.0.1:0").exit_code == 0
    assert "wsfast_bench_sent_total 7.0" in scraped[0]
