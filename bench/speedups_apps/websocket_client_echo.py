"""websocket-client."""

from __future__ import annotations

import websocket

from speedups_apps.job import Job

__all__: list[str] = []


def client(job: Job) -> None:
    connection = websocket.create_connection(job.url)
    job.exchange(connection.send if job.text else connection.send_binary, connection.recv)
    connection.close()
