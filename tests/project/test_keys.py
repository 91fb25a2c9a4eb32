"""The table of keys: what it refuses, and that parser, schema and documentation agree."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bareboat.errors import ProjectError
from bareboat.project import kinds, load, parse
from bareboat.project.keys import PROJECT, PYTHON, RESOURCES
from bareboat.project.schema import schema

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(schema())


def accepted(document: object) -> bool:
    try:
        parse.check(document, "")
    except ProjectError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "code", "where", "words"),
    [
        ("pyton = '3.12'", "project.unknown-key", "bareboat.toml: pyton", "'python'"),
        ("env_file = '.env'", "project.unknown-key", "bareboat.toml: env_file", "'env-file'"),
        ("zzz = 1", "project.unknown-key", "bareboat.toml: zzz", "Allowed are: name, python"),
        ("[python]\nversoin = '3.12'", "project.unknown-key", "bareboat.toml: python.versoin", "'version'"),
        ("extras = ['plot']", "project.unknown-key", "bareboat.toml: extras", "python.extras"),
        ("memory = '8g'", "project.unknown-key", "bareboat.toml: memory", "resources.memory"),
        ("[resources]\nram = '8g'", "project.unknown-key", "bareboat.toml: resources.ram", ""),
        ("['a b']\nx = 1", "project.unknown-key", 'bareboat.toml: "a b"', ""),
        ("python = 3.12", "project.type", "bareboat.toml: python", "the number 3.12"),
        ("apt = 'ffmpeg'", "project.type", "bareboat.toml: apt", "a list of package names"),
        ("apt = ['ffmpeg', 1]", "project.type", "bareboat.toml: apt[1]", "the integer 1"),
        ("apt = ['FFmpeg']", "project.value", "bareboat.toml: apt[0]", "Debian package"),
        ("apt = ['a=1.0']", "project.value", "bareboat.toml: apt[0]", ""),
        ("network = 'bridge'", "project.value", "bareboat.toml: network", '"host" or "none"'),
        ("network = 'hots'", "project.value", "bareboat.toml: network", "Did you mean 'host'?"),
        ("platforms = ['linux/arm46']", "project.value", "bareboat.toml: platforms[0]", "'linux/arm64'"),
        ("platforms = []", "project.value", "bareboat.toml: platforms", "empty"),
        ("base = 'alpine 3'", "project.value", "bareboat.toml: base", "debian:SUITE"),
        ("data = true", "project.value", "bareboat.toml: data", "false"),
        ("data = {source = 'd'}", "project.missing-key", "bareboat.toml: data", "target"),
        ("data = {source = 'd', target = 'data'}", "project.value", "bareboat.toml: data.target", "absolute"),
        ("mounts = ['a']", "project.value", "bareboat.toml: mounts[0]", "SOURCE:TARGET"),
        (
            "mounts = [{source='a', target='/b', readonly=true}]",
            "project.unknown-key",
            "bareboat.toml: mounts[0].readonly",
            "'read-only'",
        ),
        ("env = {A = true}", "project.type", "bareboat.toml: env.A", "boolean true"),
        ("env = {'A=B' = 'x'}", "project.value", "bareboat.toml: env", "without ="),
        ("command = []", "project.value", "bareboat.toml: command", "empty"),
        ("command = ''", "project.value", "bareboat.toml: command", "shell"),
        ("commands = {'a b' = 'x'}", "project.value", "bareboat.toml: commands", "letters"),
        ("resources = {memory = '8x'}", "project.value", "bareboat.toml: resources.memory", "8g"),
        ("resources = {memory = -1}", "project.value", "bareboat.toml: resources.memory", ""),
        ("resources = {cpus = 0}", "project.value", "bareboat.toml: resources.cpus", "above 0"),
        ("resources = {cpus = inf}", "project.value", "bareboat.toml: resources.cpus", "above 0"),
        ("resources = {cpus = nan}", "project.value", "bareboat.toml: resources.cpus", "above 0"),
        ("resources = {pids = 1.5}", "project.value", "bareboat.toml: resources.pids", ""),
        ("resources = {gpus = 'gpu0'}", "project.value", "bareboat.toml: resources.gpus", "device="),
        ("workdir = 'src'", "project.value", "bareboat.toml: workdir", "absolute"),
        ("startup = 2020-01-01", "project.type", "bareboat.toml: startup", "date or time"),
        ("name = ''", "project.value", "bareboat.toml: name", "letters"),
        ('startup = "a\\u0000b"', "project.value", "bareboat.toml: startup", ""),
        ('base = "debian:trixie\\n"', "project.value", "bareboat.toml: base", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_key_and_what_is_allowed(
    text: str, code: str, where: str, words: str
) -> None:
    with pytest.raises(ProjectError) as caught:
        parse.document(text.encode())
    assert (caught.value.code, caught.value.where) == (code, where)
    assert words in f"{caught.value.what} {caught.value.hint}"


@pytest.mark.parametrize(
    ("content", "code", "where"),
    [
        (b"python = \n", "project.toml", "bareboat.toml:1:10"),
        (b"a = 1\r\nb = [1,\r\n", "project.toml", "bareboat.toml"),
        (b"name = 'a'\nname = 'b'\n", "project.toml", "bareboat.toml:2:"),
        (b"name = 'a'\n\nna\xefme = 1\n", "project.encoding", "bareboat.toml:3"),
        ("name = 'a'".encode("utf-16"), "project.encoding", "bareboat.toml"),
        (b"x = " + b"9" * 5000, "project.toml", "bareboat.toml"),
        (b"x = " + b"[" * 20000, "project.toml", "bareboat.toml"),
        (b"#" * (5 << 20), "project.too-large", "bareboat.toml"),
    ],
)
def test_what_is_no_toml_is_said_with_line_and_column(content: bytes, code: str, where: str) -> None:
    with pytest.raises(ProjectError) as caught:
        parse.document(content)
    assert caught.value.code == code and caught.value.where.startswith(where)


def test_a_byte_order_mark_and_carriage_returns_are_read() -> None:
    assert parse.document(b"\xef\xbb\xbfname = 'a'\r\nnetwork = 'none'\r\n") == {
        "name": "a",
        "network": "none",
    }


KEYS = sorted(
    {key.name for table in (PROJECT, PYTHON, RESOURCES) for key in table.keys}
    | {"source", "target", "read-only"}
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-3, 2**54),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(
        [
            "8g",
            "1.5GiB",
            "3.12",
            ">=3.10",
            "debian:trixie",
            "linux/amd64",
            "host",
            "none",
            "all",
            "/x",
            "/a:/b:ro",
            "device=0,1",
            "ffmpeg",
            "src",
            "a\n",
            "8g\n",
            "",
            "\0",
            "x y",
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from([key.name for key in PROJECT.keys]), VALUES, max_size=3)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_schema_and_parser_accept_the_same_documents(document: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document) == accepted(document)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values that mostly fit a kind, and some that do not."""
    if isinstance(kind, kinds.Text):
        return st.from_regex(kind.schema()["pattern"]) | SCALARS
    if isinstance(kind, kinds.OneOf):
        return st.sampled_from(kind.values) | SCALARS
    if isinstance(kind, kinds.Whole):
        return st.integers(kind.least - 1, kind.most + 1) | SCALARS
    if isinstance(kind, kinds.Number):
        return st.floats(0, kind.most) | SCALARS
    if isinstance(kind, kinds.ListOf):
        return st.lists(values_of(kind.kind), max_size=3)
    if isinstance(kind, kinds.MapOf):
        names = values_of(kind.names).filter(lambda name: isinstance(name, str))
        return st.dictionaries(names, values_of(kind.kind), max_size=3)
    if isinstance(kind, kinds.Table):
        return st.fixed_dictionaries({}, optional={key.name: values_of(key.kind) for key in kind.keys})
    if isinstance(kind, kinds.Either):
        return st.one_of(*[values_of(each) for each in kind.kinds])
    return st.booleans()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of([st.fixed_dictionaries({key.name: values_of(key.kind)}) for key in PROJECT.keys]))
def test_schema_and_parser_accept_the_same_values_of_every_kind(document: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document) == accepted(document)


def test_a_wrong_time_is_refused_without_trying_every_way_of_reading_it() -> None:
    document = {"train": {"max-time": "1" * 60 + "!"}}  # with a pattern of nested repetitions it would never end
    assert not accepted(document) and not VALIDATOR.is_valid(document)
    assert accepted({"train": {"max-time": "1h30m"}}) and accepted({"train": {"max-time": "1.5h"}})


@pytest.mark.parametrize("key", PROJECT.keys, ids=lambda key: key.name)
def test_every_example_is_valid_by_both(key: Any) -> None:
    document = parse.document(f"{key.name} = {key.example}".encode())
    assert VALIDATOR.is_valid(document)


@pytest.mark.parametrize("table", [("python", PYTHON), ("resources", RESOURCES)], ids=lambda table: table[0])
def test_every_example_of_a_table_is_valid(table: Any) -> None:
    for key in table[1].keys:
        assert VALIDATOR.is_valid(parse.document(f"{table[0]}.{key.name} = {key.example}".encode()))


def test_the_schema_is_a_schema_and_refuses_what_it_should() -> None:
    Draft202012Validator.check_schema(schema())
    assert not VALIDATOR.is_valid({"pyton": "3.12"}), "control: a schema that lets anything through"
    assert not VALIDATOR.is_valid({"base": "debian:trixie\n"})


def test_generated_files_are_current() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec and spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    stale = [path.name for path, text in generate.pages().items() if path.read_text("utf-8") != text]
    assert not stale, "run: python docs/generate.py"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_a_document_or_a_project_error(content: bytes) -> None:
    try:
        parse.document(content)
    except ProjectError as wrong:
        assert wrong.code.startswith("project.")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS)
def test_any_document_is_a_project_or_a_project_error(make, monkeypatch, document) -> None:
    root = make({"bareboat.toml": "", "requirements.txt": "", "src/": "", "data/": ""})

    def checked(content: bytes, file: str = "bareboat.toml") -> object:
        parse.check(document, f"{file}: ")
        return document

    with monkeypatch.context() as patch:
        patch.setattr(parse, "document", checked)
        try:
            load(root)
        except ProjectError as wrong:
            assert wrong.where and wrong.code.startswith("project.")
