"""The JSON of every mode of wsfast-bench against the schema that the package carries."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("wsfast-bench runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("wsfast.loadgen.engine")

from wsfast.loadgen.document import SCHEMA  # noqa: E402


@pytest.fixture(scope="module")
def schema():
    """The schema, checked itself, in which no object may hold a key that it does not name."""
    text = resources.files("wsfast.loadgen").joinpath("schema.json").read_text("utf-8")
    found = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def strict(node):
    """The same schema without room for keys that it does not name, but in open maps."""
    if isinstance(node, list):
        return [strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {key: strict(value) for key, value in node.items()}
    if "required" in closed and "allOf" not in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def bench(*words):
    command = [sys.executable, "-m", "wsfast.loadgen", *words, "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode in (0, 99), done.stderr
    return json.loads(done.stdout)


MODES = [
    "echo -c 5 -n 200",
    "echo -c 5 -d 1200ms -r 100 --warmup 100ms --fail-if p99>1us",
    "echo -c 5 --stages 300ms:200,300ms:100 -w 2",
    "echo -c 5 -n 200 --template ok{{seq}} --match prefix:ok",
    'echo -c 5 -n 200 --template {"a":{{seq}}} --match json:a --fragments 2',
    "echo -c 5 -n 200 --match sequence --verify none --first-message hello",
    "ping -c 5 -n 200",
    "idle -c 5 -d 1s --ping-interval 100ms",
    "fanout -c 5 -r 50 -d 1s",
    "recv -c 5 -d 2s",
    "connect -c 5 -d 300ms",
]


@pytest.mark.parametrize("words", MODES)
def test_every_mode(schema, words):
    found = bench(*words.split())
    jsonschema.validate(found, schema)
    opened = {**strict(schema)}
    settings = opened["properties"]["settings"]
    settings["additionalProperties"] = True  # every option is in there
    del opened["$defs"]["latency"]["allOf"][1]["additionalProperties"]
    opened["$defs"]["figures"].pop("additionalProperties")
    jsonschema.validate(found, opened)


def test_the_version(schema):
    assert schema["properties"]["schema"]["const"] == SCHEMA


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), 1),
        (("summary", "sent"), -1),
        (("latency", "actual", "p99"), "fast"),
        (("verdict", "name"), "MAYBE"),
        (("errors", "server"), {"lost": "many"}),
    ],
)
def test_what_is_wrong_is_refused(schema, path, value):
    found = bench("-c", "2", "-n", "100")
    part = found
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema)


def test_a_missing_key_is_refused(schema):
    found = bench("-c", "2", "-n", "100")
    del found["latency"]["actual"]["p99.99"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, schema)
