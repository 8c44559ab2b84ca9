"""wsfast.loadgen.tomlfile: what a file holds, or why it cannot be read."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
tomlfile = pytest.importorskip("wsfast.loadgen.tomlfile")


def test_a_table(tmp_path):
    path = tmp_path / "options.toml"
    path.write_text('rate = "5k"\n[echo]\nheader = ["A: ü"]\n', encoding="utf-8")
    assert tomlfile.read_toml(str(path)) == {"rate": "5k", "echo": {"header": ["A: ü"]}}


@pytest.mark.parametrize(
    ("content", "message"), [(b"rate = = 5", "options.toml: "), (b"\xff", "no UTF-8")]
)
def test_what_is_no_toml(tmp_path, content, message):
    path = tmp_path / "options.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        tomlfile.read_toml(str(path))


def test_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        tomlfile.read_toml(str(tmp_path / "absent.toml"))
