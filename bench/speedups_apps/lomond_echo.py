"""lomond: a client that is a generator of events."""

from __future__ import annotations

from lomond import WebSocket

from speedups_apps.job import Job

__all__: list[str] = []


def client(job: Job) -> None:
    ws = WebSocket(job.url)
    for event in ws.connect():
        if event.name == "ready":
            job.begin(ws.send_text if job.text else ws.send_binary)
        elif event.name in ("text", "binary"):
            answer = event.text if job.text else event.data
            if not job.answered(answer):
                ws.close()
