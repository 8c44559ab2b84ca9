"""wsfast.loadgen.doctor: limits on both sides of what is needed, and cures that would help."""

from __future__ import annotations

import subprocess
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("it reads the limits of Linux", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
doctor = pytest.importorskip("wsfast.loadgen.doctor")

PLENTY = doctor.Host(
    soft_descriptors=1024,
    hard_descriptors=10_000_000,
    cpus=8,
    memory_bytes=1 << 40,
    nr_open=10_000_000,
    file_max=1 << 40,
    ports=(1024, 65535),
    tcp_mem_pages=1 << 30,
    somaxconn=65535,
    syn_backlog=65535,
    epoll_watches=1 << 30,
    conntrack_max=None,
)


def lacks(connections, side="both", **limits):
    """The resources that are not enough, with their cures."""
    host = PLENTY._replace(**limits)
    return {
        each.resource: each.cure
        for each in doctor.examine(host, connections, side)
        if not each.enough
    }


def test_a_host_with_plenty():
    assert lacks(10_000) == {}
    findings = list(doctor.examine(PLENTY, 10_000, "both"))
    assert len(findings) >= 8
    assert all(each.cure == "" for each in findings)


def test_descriptors_take_processes():
    assert lacks(20_000, hard_descriptors=20_064, side="server") == {}
    (cure,) = lacks(40_000, hard_descriptors=20_000, side="server").values()
    assert cure.startswith("-w 3 ")
    assert "ulimit -Hn 40064" in cure
    cure = lacks(2_000_000, hard_descriptors=20_000, nr_open=1 << 20, side="server")["descriptors"]
    assert "fs.nr_open=2000064" in cure


def test_source_ports_take_addresses():
    assert lacks(15_000) == {}
    (cure,) = lacks(15_001).values()
    assert "with 2 addresses" in cure
    assert "ip_local_port_range" not in cure, "it is as wide as it can be"
    assert "ip_local_port_range" in lacks(30_000, ports=(32768, 60999))["source ports"]
    assert lacks(9_000_000, side="server") == {}, "a server needs no source ports"


@pytest.mark.parametrize(
    ("limits", "resource", "cure"),
    [
        ({"somaxconn": 128}, "waiting for accept", "sysctl -w net.core.somaxconn=1000"),
        ({"syn_backlog": 512}, "half-open handshakes", "net.ipv4.tcp_max_syn_backlog=1000"),
        ({"epoll_watches": 100}, "epoll watches", "fs.epoll.max_user_watches=2000"),
        ({"conntrack_max": 1999}, "tracked connections", "nf_conntrack_max=2000"),
        ({"file_max": 1000}, "open files", "fs.file-max=6096"),
        ({"tcp_mem_pages": 3023}, "TCP memory", 'tcp_mem="1512 2268 3024"'),
        ({"memory_bytes": 1 << 20}, "memory", "more memory"),
    ],
)
def test_each_limit(limits, resource, cure):
    found = lacks(1000, **limits)
    assert list(found) == [resource]
    assert cure in found[resource]


def test_a_client_needs_no_backlog():
    assert lacks(1000, side="client", somaxconn=1, syn_backlog=1) == {}


def test_what_cannot_be_read_is_taken_for_enough():
    unknown = dict.fromkeys(
        ("memory_bytes", "nr_open", "file_max", "tcp_mem_pages", "somaxconn", "epoll_watches")
    )
    assert lacks(10_000, **unknown) == {}


def test_limits_are_read_from_procfs(tmp_path):
    for path, text in {
        "sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
        "sys/net/ipv4/tcp_mem": "100 200 300\n",
        "sys/net/core/somaxconn": "4096\n",
        "sys/fs/nr_open": "1048576\n",
        "meminfo": "MemTotal: 9 kB\nMemAvailable: 2048 kB\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    host = doctor.read_host(tmp_path)
    assert host.ports == (32768, 60999)
    assert (host.tcp_mem_pages, host.somaxconn, host.nr_open) == (300, 4096, 1048576)
    assert host.memory_bytes == 2048 * 1024
    assert host.conntrack_max is host.file_max is None
    assert host.hard_descriptors > 0


def run(*words):
    command = [sys.executable, "-m", "wsfast.loadgen", "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_this_host():
    done = run("-c", "100")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("all is enough\n")
    done = run("-c", "1000m", "--side", "client")
    assert done.returncode == 1
    assert "LOW  source ports" in done.stdout
    assert "addresses" in done.stdout


def test_usage():
    assert run("-c", "0").returncode == 2
    assert run("--side", "middle").returncode == 2
