"""wsfast.loadgen.metrics: a scrape shows the progress; files are in test_loadgen_export.py."""

from __future__ import annotations

import pytest

pytest.importorskip("prometheus_client")
metrics = pytest.importorskip("wsfast.loadgen.metrics")

from scraping import scrape  # noqa: E402


def test_a_scrape_shows_the_latest_progress():
    listener = metrics.Listener("127.0.0.1", 0)
    try:
        assert "wsfast_bench" not in scrape(listener.port)
        listener.update(1.0, {"sent": 10, "received": 9})
        listener.update(2.0, {"sent": 30, "received": 28})
        text = scrape(listener.port)
        assert "wsfast_bench_sent_total 30.0" in text
        assert "wsfast_bench_received_total 28.0" in text
    finally:
        listener.close()


def test_a_closed_one_answers_nothing():
    listener = metrics.Listener("127.0.0.1", 0)
    listener.close()
    with pytest.raises(OSError):
        scrape(listener.port)


def test_a_port_that_is_taken():
    listener = metrics.Listener("127.0.0.1", 0)
    try:
        with pytest.raises(OSError):
            metrics.Listener("127.0.0.1", listener.port)
    finally:
        listener.close()
