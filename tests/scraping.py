"""A scrape of `wsfast-bench --prom-listen`, after which nothing of it is left."""

from __future__ import annotations

import threading
import urllib.request

__all__ = ["scrape"]


def scrape(port):
    """What the listener on a port of this process answers.

    Its thread, which closes the connection behind the answer, has ended by then.
    """
    before = set(threading.enumerate())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    return text
