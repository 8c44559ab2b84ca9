"""The conformance run: Autobahn's fuzzing peers against our servers and against our client.

    python tests/autobahn/run.py [--role ROLE] [--cases core|limits|PATTERN,...]

The roles: `server` is wsfast-echo, `handler` a server with a handler in Python (server.py), and
`client` our client (client.py). Without --role all three run, side by side.
Every case has one allowed outcome in expected-results.json; anything else fails, a better outcome
as well. Reports and logs go to build/autobahn, the suite itself to .cache/autobahn.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from wstest import Unavailable, Wstest, prepare

__all__ = ["compare", "load_expected", "main", "select_cases"]

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
REPORTS = ROOT / "build" / "autobahn"
AGENT = "wsfast"
ROLES = ("server", "handler", "client")
SETS = {"core": "[1-7].*,10.*", "limits": "9.*", "all": "*"}
READY_SECONDS = 30
MAX_LINES = 25

#: case -> {"behavior": ..., "behaviorClose": ..., "reason": only if it is not OK}
Expected = dict[str, dict[str, str]]


def load_expected(path: Path = HERE / "expected-results.json") -> Expected:
    """Read the golden file.

    Raises:
        ValueError: a case is not expected to be OK, and no reason is given.
    """
    expected: Expected = json.loads(path.read_text(encoding="utf-8"))
    for case, row in expected.items():
        if (row["behavior"], row["behaviorClose"]) != ("OK", "OK") and not row.get("reason"):
            raise ValueError(f"{path.name}: case {case} is an exception without a reason")
    return expected


def select_cases(expected: Expected, patterns: str) -> list[str]:
    """The cases that a name of SETS, or a comma-separated list of patterns, stands for."""
    wanted = SETS.get(patterns, patterns).split(",")
    return [case for case in expected if any(fnmatch.fnmatch(case, each) for each in wanted)]


def compare(expected: Expected, cases: Sequence[str], results: dict[str, Any]) -> dict[str, str]:
    """Hold results against the golden file: returns case -> what is wrong with it."""
    wrong = {}
    for case in cases:
        wanted = (expected[case]["behavior"], expected[case]["behaviorClose"])
        row = results.get(case, {})
        got = (row.get("behavior", "MISSING"), row.get("behaviorClose", "MISSING"))
        if got != wanted:
            wrong[case] = f"expected {'/'.join(wanted)}, got {'/'.join(got)}"
    return wrong


class Runner:
    """Runs one role within `timeout_seconds`; several may run side by side."""

    def __init__(self, wstest: Wstest, cases: list[str], timeout_seconds: float) -> None:
        self.wstest = wstest
        self.cases = cases
        self.timeout_seconds = timeout_seconds

    async def run(self, role: str) -> dict[str, Any]:
        """Returns case -> result, as wstest reports it."""
        directory = REPORTS / role
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        if role == "client":
            await self._test_client(directory)
        elif role == "handler":
            await self._test_server([str(HERE / "server.py")], directory)
        else:
            echo = ["-m", "wsfast.echo", "--host", "127.0.0.1", "--port", "0"]
            await self._test_server(echo, directory)
        return _read_results(directory)

    async def _test_server(self, arguments: list[str], directory: Path) -> None:
        """Autobahn's fuzzingclient against a server that prints its URL."""
        ours = [sys.executable, *arguments]
        async with _running(ours, r"127\.0\.0\.1:(\d+)", directory / "server.log") as port:
            url = f"ws://127.0.0.1:{port}"
            spec = {"servers": [{"agent": AGENT, "url": url}], **self._spec(directory)}
            command = self.wstest.command("fuzzingclient", spec, directory)
            await self._finish(command, directory / "fuzzingclient.log", self.wstest.env)

    async def _test_client(self, directory: Path) -> None:
        """Our client against Autobahn's fuzzingserver."""
        spec = {"url": "ws://127.0.0.1:0", **self._spec(directory)}
        command = self.wstest.command("fuzzingserver", spec, directory)
        log = directory / "fuzzingserver.log"
        async with _running(command, r"starting on (\d+)", log, self.wstest.env) as port:
            ours = [sys.executable, str(HERE / "client.py"), f"ws://127.0.0.1:{port}", AGENT]
            await self._finish(ours, directory / "client.log")

    def _spec(self, directory: Path) -> dict[str, Any]:
        return {"outdir": str(directory), "cases": self.cases, "exclude-cases": []}

    async def _finish(self, command: list[str], log: Path, env: Any = None) -> None:
        async with _running(command, "", log, env, self.timeout_seconds):
            pass


@asynccontextmanager
async def _running(
    command: list[str], ready: str, log: Path, env: Any = None, finish_seconds: float = 0
) -> AsyncIterator[str]:
    """A process whose output goes to `log`: yields what group 1 of `ready` matched in it.

    At the end it gets `finish_seconds` to end by itself with status 0; with 0 it is terminated.
    """
    stream = asyncio.subprocess
    process = await asyncio.create_subprocess_exec(
        *command, stdout=stream.PIPE, stderr=stream.STDOUT, cwd=REPORTS, env=env
    )
    announced: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reader = asyncio.create_task(_copy_output(process, ready, log, announced))
    try:
        yield await asyncio.wait_for(announced, READY_SECONDS) if ready else ""
        if finish_seconds:
            await asyncio.wait_for(process.wait(), finish_seconds)
        if process.returncode:  # a server that died counts as well: it should still run
            raise RuntimeError(f"a process ended with status {process.returncode}: see {log}")
    except asyncio.TimeoutError:
        raise RuntimeError(f"a process takes too long: see {log}") from None
    finally:
        await _stop(process)
        await reader


async def _copy_output(process: Any, ready: str, log: Path, announced: Any) -> None:
    with log.open("wb") as out:
        async for line in process.stdout:
            out.write(line)
            found = ready and re.search(ready, line.decode("utf-8", "replace"))
            if found and not announced.done():
                announced.set_result(found[1])
    if ready and not announced.done():
        announced.set_exception(RuntimeError(f"a process ended before it was ready: see {log}"))


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()


def _read_results(directory: Path) -> dict[str, Any]:
    report = directory / "index.json"
    if not report.exists():
        raise RuntimeError(f"wstest wrote no report: see the logs in {directory}")
    results: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")).get(AGENT, {})
    return results


async def _run_roles(runner: Runner, roles: Sequence[str]) -> list[dict[str, Any]]:
    return await asyncio.gather(*(runner.run(role) for role in roles))


def _print_summary(role: str, cases: Sequence[str], wrong: dict[str, str]) -> None:
    total = Counter(case.split(".")[0] for case in cases)
    failed = Counter(case.split(".")[0] for case in wrong)
    for section, count in total.items():
        print(f"{role:8}{section:>7}{count:>7}{count - failed[section]:>8}{failed[section]:>8}")
    for case, text in list(wrong.items())[:MAX_LINES]:
        report = REPORTS / role / f"{AGENT}_case_{case.replace('.', '_')}.json"
        print(f"{role} {case}: {text} ({report.relative_to(ROOT)})")
    if len(wrong) > MAX_LINES:
        print(f"{role}: and {len(wrong) - MAX_LINES} more, see {REPORTS / role}/index.html")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, compare, print; returns 0 if every case came out as expected, 1 if not, 2 if unable."""
    parser = argparse.ArgumentParser(description="the Autobahn test suite against wsfast")
    parser.add_argument("--role", choices=ROLES, help="only this one; without it all")
    parser.add_argument("--cases", default="all", help="core, limits, all, or patterns: 1.*,9.3.2")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one role")
    options = parser.parse_args(arguments)
    roles = [options.role] if options.role else ROLES
    expected = load_expected()
    cases = select_cases(expected, options.cases)
    if not cases:
        parser.error(f"no case matches {options.cases}")
    try:
        runner = Runner(prepare(ROOT / ".cache" / "autobahn"), cases, options.timeout)
        REPORTS.mkdir(parents=True, exist_ok=True)
        results = asyncio.run(_run_roles(runner, roles))
    except (Unavailable, RuntimeError) as problem:
        print(f"conformance: {problem}", file=sys.stderr)
        return 2
    failed = 0
    print(f"{'role':8}{'section':>7}{'cases':>7}{'passed':>8}{'failed':>8}")
    for role, result in zip(roles, results, strict=True):
        wrong = compare(expected, cases, result)
        _print_summary(role, cases, wrong)
        failed += len(wrong)
    print(f"{len(cases) * len(roles) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
