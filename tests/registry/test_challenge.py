"""WWW-Authenticate: what registries really send, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.registry.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
         [("bearer", {"realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                      "scope": "repository:a/b:pull,push"})]),
        ('Basic realm="Registry Realm"', [("basic", {"realm": "Registry Realm"})]),
        ("Basic", [("basic", {})]),
        ('bearer realm=x , SERVICE = "y"', [("bearer", {"realm": "x", "service": "y"})]),
        (r'Basic realm="a \"quoted\" \\ one"', [("basic", {"realm": 'a "quoted" \\ one'})]),
        ('Negotiate, Bearer realm="r",service="s", Basic realm="t"',
         [("negotiate", {}), ("bearer", {"realm": "r", "service": "s"}), ("basic", {"realm": "t"})]),
        ('Negotiate YWJj==, Basic realm="t"', [("negotiate", {}), ("basic", {"realm": "t"})]),
        (", ,Basic realm=x,", [("basic", {"realm": "x"})]),
        ("", []),
    ],
)
def test_what_is_understood(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges([header]) == tuple(Challenge(s, tuple(p.items())) for s, p in expected)


@pytest.mark.parametrize("header", [
    'Bearer realm="a",realm="b"', 'Bearer realm="never ends', 'Bearer realm="a" service="b" "c"', "Bearer @",
    'Bearer realm="a\r\nX: y"', "=x", "Basic realm=x" + " " * 9000,
])  # fmt: skip
def test_what_is_refused(header: str) -> None:
    with pytest.raises(ValueError):
        parse_challenges([header])


@given(st.lists(st.text(st.characters(max_codepoint=300), max_size=60), max_size=4))
def test_anything_is_read_or_refused(headers: list[str]) -> None:
    try:
        found = parse_challenges(headers)
    except ValueError:
        return
    for challenge in found:
        assert challenge.scheme == challenge.scheme.lower() != ""
        assert len(dict(challenge.parameters)) == len(challenge.parameters)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True),
                       st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30), max_size=5))
def test_what_is_written_is_read(parameters: dict[str, str]) -> None:
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"') for k, v in parameters.items()}
    quoted = [f'{k}="{v}"' for k, v in escaped.items()]
    assert parse_challenges([("Bearer " + ", ".join(quoted)).strip()]) == (
        Challenge("bearer", tuple(parameters.items())),)
