"""wsfast.loadgen.templatetext: where a template comes from, and whether it makes JSON."""

from __future__ import annotations

import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the load generator runs on epoll", allow_module_level=True)
for package in ("click", "hdrh", "numpy", "prometheus_client", "rich"):
    pytest.importorskip(package)
templatetext = pytest.importorskip("wsfast.loadgen.templatetext")
read_template, check_json = templatetext.read_template, templatetext.check_json


@pytest.mark.parametrize("text", ["{{seq}}", "hello {{seq}}", '{"a": 1}', " [1]", '"text"'])
def test_a_text(text):
    assert read_template(text) == (text, "the template", False)


@pytest.mark.parametrize(("name", "is_json"), [("call.json", True), ("call.txt", False)])
def test_a_file(tmp_path, name, is_json):
    path = tmp_path / name
    path.write_text('{"id": {{seq}}}\n', encoding="utf-8")
    assert read_template(str(path)) == ('{"id": {{seq}}}\n', str(path), is_json)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match="absent.json cannot be read"):
        read_template(str(tmp_path / "absent.json"))
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="no UTF-8"):
        read_template(str(tmp_path / "binary"))


def test_a_wrong_field_is_named_with_its_file(tmp_path):
    path = tmp_path / "call.json"
    path.write_text('{"id": {{sequence}}}')
    with pytest.raises(ValueError, match=r"call\.json: \{\{sequence\}\} is no field; known: seq"):
        read_template(str(path))
    with pytest.raises(ValueError, match=r"the template: \{\{nope\}\}"):
        read_template("{{nope}}")


@pytest.mark.parametrize(
    "text",
    [
        '{"id": {{seq}}}',
        '{"id": "{{uuid}}", "n": [{{random_int -5 5}}, {{choice true null 7}}]}',
        '"{{random_string 8}}"',
        '{"at": "{{time_iso}}", "who": "{{choice ann \'b c\'}}"}',
    ],
)
def test_what_makes_json(text):
    check_json(read_template(text))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"id": {{seq}}', "line 1 column 15"),
        ('{\n  "id": {{seq}},\n 5}', "line 3 column 2"),
        ('{"u": {{uuid}} }', "line 1 column 7"),
        ('{"a": {{seq}},\n "b" 5}', "line 2 column 6"),
        ('{"a": "{{choice x y}}", "b": {{choice 1 two 3}}}', "line 1 column 30"),
        ('{"a": {{seq}}{{connection}}, b: 1}', "line 1 column 14"),
        ("{{choice x}}", "line 1 column 1"),
    ],
)
def test_what_makes_no_json_is_told_by_its_place(text, place):
    with pytest.raises(ValueError, match=f"the template, {place}: "):
        check_json(read_template(text))


def test_what_python_takes_for_json_and_is_none():
    with pytest.raises(ValueError, match="NaN is no JSON"):
        check_json(read_template('{"a": {{choice NaN}}}'))


def test_the_error_shows_what_was_made():
    with pytest.raises(ValueError, match=r"near '\{\"who\": ann\}'"):
        check_json(read_template('{"who": {{choice ann}}}'))


def test_every_word_of_a_choice_is_tried():
    words = " ".join(["1"] * 500 + ["one"])
    with pytest.raises(ValueError, match="line 1 column 2"):
        check_json(read_template(f"[{{{{choice {words}}}}}]"))
