"""wsfast.loadgen.contentoptions: what messages hold, and what cannot be meant."""

from __future__ import annotations

import base64
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
click = pytest.importorskip("click")
contentoptions = pytest.importorskip("wsfast.loadgen.contentoptions")

from wsfast.loadgen.options import with_options  # noqa: E402
from wsfast.loadgen.units import Sizes  # noqa: E402

CALL = '{"id": {{seq}}}'


def content(*words):
    """What becomes of the options of a command line."""
    found = {}

    @click.command()
    @with_options(contentoptions.CONTENT_OPTIONS, contentoptions.TEMPLATE_OPTIONS)
    def command(**options):
        contentoptions.check_content(options)
        found.update(options)

    command.main(list(words), standalone_mode=False)
    return found


def refused(message, *words):
    with pytest.raises(click.UsageError, match=message):
        content(*words)


def test_defaults():
    found = content()
    assert (found["content"], found["template"], found["match"]) == (None, None, None)
    assert (found["size"], found["text"], found["verify"]) == (Sizes(20), False, "full")
    assert found["fragments"] == (0, 0)


def test_a_command_that_has_none_of_them():
    options = {"size": Sizes(8), "text": False, "verify": "none"}
    contentoptions.check_content(options)
    assert options["fragments"] == (0, 0)
    assert options["verify"] == "none"
    assert options["content"] is options["template"] is options["match"] is None


def test_a_message():
    found = content("-m", "grüße")
    assert base64.b64decode(found["content"]) == "grüße".encode()
    assert (found["size"], found["text"]) == (Sizes(7), True)


def test_a_file(tmp_path):
    path = tmp_path / "message"
    path.write_bytes(b"\xff\x00")
    found = content("-f", str(path))
    assert (found["size"], found["text"]) == (Sizes(2), False)
    refused("no UTF-8", "-f", str(path), "-t")
    refused("cannot be read", "-f", str(tmp_path / "absent"))


def test_a_template_is_text_of_its_own_sizes():
    found = content("--template", CALL)
    assert (found["template"], found["content"], found["text"]) == (CALL, None, True)
    assert found["size"] == Sizes(18, 9)
    assert content("--template", "{{random_hex 8}}")["size"] == Sizes(8)


def test_json_is_checked_where_it_is_said(tmp_path):
    path = tmp_path / "call.json"
    path.write_text('{"id": {{seq}},}')
    refused(r"call\.json, line 1 column \d+: ", "--template", str(path))
    other = path.rename(tmp_path / "call.txt")
    assert content("--template", str(other))["template"] == '{"id": {{seq}},}'
    refused(r"call\.txt, line 1", "--template", str(other), "--json-check")
    refused("the template, line 1", "--template", "{{uuid}}", "--json-check")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "a", "--template", CALL], "--message and --template do not go together"),
        (["-m", "a", "-f", __file__], "--message and --file do not go together"),
        (["-f", __file__, "--template", CALL], "--file and --template do not go together"),
        (["--json-check"], "--json-check is of a --template"),
        (["--template", "{{nope}}"], "no field; known: seq"),
        (["--template", "absent.json"], "absent.json cannot be read"),
        (["--template", "{{random_string 16777216}}" * 65], "more than 1073741824"),
        (["--match", "some"], "none of order, sequence, prefix:TEXT and json:PATH"),
        (["--match", "json:a..b", "--template", CALL], "no path like"),
        (["--match", "json:id"], "looks for the {{seq}}"),
        (["--match", "json:id", "-m", "{}"], "looks for the {{seq}}"),
        (["--match", "json:id", "--template", "{{connection}}"], "looks for the {{seq}}"),
        (["--match", "sequence", "-m", "hello"], "needs the stamp"),
        (["--match", "sequence", "--template", CALL, "--verify", "none"], "needs the stamp"),
        (["--match", "sequence", "--verify", "none", "-s", "7"], "8 bytes or more"),
        (["--match", "sequence", "--verify", "none", "-s", "4-90"], "8 bytes or more"),
        (["--match", "sequence", "--verify", "none", "-s", "exp:90"], "8 bytes or more"),
        (["--fragments", "21"], "21 are more frames than the 20 bytes"),
        (["--fragments", "20b"], "of 20 bytes leave a message of 20 in one frame"),
        (["--fragments", "1"], "not 2 to 65536 frames"),
        (["--fragments", "0"], "not 2 to 65536 frames"),
        (["--fragments", "65537"], "not 2 to 65536 frames"),
        (["--fragments", "0b"], "1 byte or more"),
        (["--fragments", "some"], "amount"),
        (["-s", "2000m"], "more than 1073741824"),
    ],
)
def test_what_cannot_be_meant(words, message):
    refused(message, *words)


@pytest.mark.parametrize(
    ("words", "match", "verify"),
    [
        (["--match", "order"], "order", "full"),
        (["--match", "sequence"], None, "full"),
        (["--match", "sequence", "--template", CALL], None, "full"),
        (["--match", "sequence", "--verify", "none"], "sequence", "none"),
        (["--match", "sequence", "--verify", "length", "-s", "8-90"], "sequence", "length"),
        (["--match", "prefix:ok"], "prefix:ok", "none"),
        (["--match", "prefix:ok", "--verify", "full"], "prefix:ok", "full"),
        (["--match", "json:id", "--template", CALL], "json:id", "none"),
        (["--match", "json:id", "--template", CALL, "--verify", "full"], "json:id", "full"),
        (["--verify", "length"], None, "length"),
    ],
)
def test_how_answers_are_matched_and_verified(words, match, verify):
    found = content(*words)
    assert (found["match"], found["verify"]) == (match, verify)


@pytest.mark.parametrize(
    ("text", "fragments"),
    [("2", (2, 0)), ("65536", (65536, 0)), ("1b", (0, 1)), ("4k", (0, 4096)), ("10b", (0, 10))],
)
def test_fragments(text, fragments):
    assert contentoptions.parse_fragments(text) == fragments


def test_help_names_every_option():
    flags = [
        flag
        for option in (*contentoptions.CONTENT_OPTIONS, *contentoptions.TEMPLATE_OPTIONS)
        for flag in option(lambda: None).__click_params__[0].opts
    ]
    assert len(flags) == len(set(flags))
    assert {"--template", "--match", "--fragments", "--json-check", "--verify"} <= set(flags)
