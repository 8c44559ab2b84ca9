"""Headless Chromium on a page of ours; the page posts its report back."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from system.interop.processes import HERE

__all__ = ["PageServer", "browse", "find_chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# One connection to the page, none to anywhere else.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PAGE = """<!doctype html><title>wsfast</title><script type="module">
import { runSteps } from "/dialogue.mjs";
const report = await runSteps(WebSocket, location.hash.slice(1));
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
</script>"""

Reports = queue.SimpleQueue[dict[str, str]]


def find_chromium() -> str:
    """The path of the browser; skips the test by name where there is none."""
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    pytest.skip("no Chromium is installed")


class _Pages(BaseHTTPRequestHandler):
    """Serves the page and its module, takes the report."""

    def __init__(self, reports: Reports, *arguments: object) -> None:
        self.reports = reports
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:  # noqa: N802 - the name is the base class's
        if self.path == "/dialogue.mjs":
            self._answer("text/javascript", (HERE / "dialogue.mjs").read_bytes())
        else:
            self._answer("text/html", PAGE.encode())

    def do_POST(self) -> None:  # noqa: N802 - the name is the base class's
        length = int(self.headers["Content-Length"])
        report = json.loads(self.rfile.read(length))
        self._answer("text/plain", b"")
        self.reports.put(report)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


class PageServer:
    """The page on a free port of loopback, for the length of a with block."""

    def __init__(self) -> None:
        self.reports: Reports = queue.SimpleQueue()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, self.reports))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> PageServer:
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def browse(chromium: str, profile: Path, page: PageServer, url: str) -> dict[str, str]:
    """Open the page with the URL of a WebSocket server, and wait for its report.

    Raises:
        queue.Empty: no report came within a minute.
    """
    command = [chromium, *FLAGS, f"--user-data-dir={profile}", f"{page.origin}/#{url}"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        return page.reports.get(timeout=60)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the browser end its many processes by itself; by force if it does not."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
