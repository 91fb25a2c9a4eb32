from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ResolveError
from bareboat.resolve.debian.closure import Request, closure
from bareboat.resolve.debian.index import Index, Union, build_index
from bareboat.resolve.debian.relations import Relation, parse_relation, parse_relations


def archive(text: str, *more: str) -> Union:
    """Stanzas written as `name version | Field: value | …`."""

    def index(lines: str, which: str) -> Index:
        stanzas = []
        for line in lines.strip().splitlines():
            head, *fields = (part.strip() for part in line.split(";"))
            name, version = head.split()
            arch = "" if any(f.startswith("Architecture") for f in fields) else "Architecture: amd64\n"
            stanzas.append(
                f"Package: {name}\nVersion: {version}\n{arch}"
                + "".join(f"{f}\n" for f in fields)
                + f"Filename: pool/{name}.deb\nSize: 1\nSHA256: {hashlib.sha256(head.encode()).hexdigest()}\n"
            )
        return Index(build_index("\n".join(stanzas).encode(), "t"), which)

    return Union([index(text, "main"), *(index(m, "security") for m in more)])


def names(union: Union, *wanted: str, installed: tuple[str, ...] = ()) -> list[str]:
    have = [union.packages(n)[0] for n in installed]
    return [p.name for p in closure(union, "amd64", [Request(w, "bareboat.toml: apt") for w in wanted], have)]


def code(union: Union, *wanted: str) -> ResolveError:
    with pytest.raises(ResolveError) as caught:
        names(union, *wanted)
    return caught.value


def test_depends_and_pre_depends() -> None:
    u = archive("a 1; Depends: b (>= 2), c:any; Pre-Depends: d\nb 2\nc 1\nd 1\ne 1")
    assert names(u, "a") == ["a", "b", "c", "d"]


def test_first_alternative_that_can_be_had() -> None:
    u = archive("a 1; Depends: nope | b (>= 3) | c | d\nb 2\nc 1\nd 1")
    assert names(u, "a") == ["a", "c"]


def test_an_alternative_that_is_there_is_enough() -> None:
    u = archive("a 1; Depends: c | d\nc 1\nd 1\nz 1; Depends: c | d")
    assert names(u, "d", "z") == ["d", "z"]
    assert names(u, "z", installed=("d",)) == ["z"]


def test_provides_by_priority_then_name() -> None:
    u = archive(
        "a 1; Depends: awk\ngawk 1; Provides: awk; Priority: optional\n"
        "mawk 1; Provides: awk; Priority: required\nbusybox 1; Provides: awk; Priority: optional"
    )
    assert names(u, "a") == ["a", "mawk"]


def test_versioned_provides() -> None:
    u = archive("a 1; Depends: v (>= 2)\nold 1; Provides: v (= 1)\nbare 1; Provides: v\nnew 1; Provides: v (= 2)")
    assert names(u, "a") == ["a", "new"]


def test_a_provider_that_no_longer_provides() -> None:
    u = archive("a 1; Depends: v\np 1; Provides: v\nq 1; Provides: v", "p 2")
    assert names(u, "a") == ["a", "q"]


def test_newest_of_all_archives() -> None:
    u = archive("a 1\nb 1.0-1", "a 1+deb13u1\nb 0.9")
    found = {p.name: (p.version, p.archive) for p in closure(u, "amd64", [Request("a"), Request("b")])}
    assert found == {"a": ("1+deb13u1", "security"), "b": ("1.0-1", "main")}


def test_cycles_end() -> None:
    assert names(archive("a 1; Depends: b\nb 1; Depends: c\nc 1; Depends: a"), "a") == ["a", "b", "c"]


def test_foreign_architecture_does_not_count() -> None:
    u = archive("a 1; Depends: b:i386 | c\nb 1\nc 1")
    assert names(u, "a") == ["a", "c"]


def test_what_only_scripts_need_stays_out() -> None:
    u = archive("a 1; Depends: debconf (>= 0.5) | debconf-2.0, b\nb 1\ndebconf 1")
    assert names(u, "a") == ["a", "b"]
    assert names(u, "a", "debconf") == ["a", "b", "debconf"]


def test_a_choice_that_conflicts_is_taken_back() -> None:
    u = archive("a 1; Depends: x | y\nx 1; Conflicts: b\ny 1\nb 1")
    assert names(u, "a", "b") == ["a", "b", "y"]


def test_a_choice_whose_own_needs_fail_is_taken_back() -> None:
    u = archive("a 1; Depends: x | y\nx 1; Depends: gone\ny 1")
    assert names(u, "a") == ["a", "y"]


def test_conflict_of_what_was_asked_for() -> None:
    error = code(archive("a 1; Conflicts: b\nb 1"), "a", "b")
    assert error.code == "debian.conflict"
    assert "bareboat.toml: apt" in error.where


def test_breaks_only_the_versions_it_names() -> None:
    u = archive("a 1; Breaks: b (<< 2)\nb 2\nc 1; Breaks: b (<< 3)")
    assert names(u, "a", "b") == ["a", "b"]
    assert code(u, "c", "b").code == "debian.conflict"


def test_a_package_does_not_conflict_with_what_it_provides() -> None:
    assert names(archive("a 1; Provides: m; Conflicts: m"), "a") == ["a"]


def test_unsatisfiable_says_the_chain() -> None:
    error = code(archive("a 1; Depends: b\nb 1; Depends: c (>= 9)\nc 1"), "a")
    assert error.code == "debian.unsatisfiable"
    assert "a → b" in error.where and "c (>= 9)" in error.what


def test_unknown_names_the_nearest_and_who_asked() -> None:
    error = code(archive("ffmpeg 1\nlibsndfile1 1"), "ffmpge")
    assert (error.code, error.where) == ("debian.unknown-package", "bareboat.toml: apt")
    assert "ffmpeg" in error.hint


def test_virtual_with_several_providers() -> None:
    u = archive("a 1; Provides: v\nb 1; Provides: v\nc 1; Provides: w")
    error = code(u, "v")
    assert error.code == "debian.virtual-package" and "a, b" in error.hint
    assert names(u, "w") == ["c"]


def test_exact_version() -> None:
    u = archive("a 1\nb 1", "a 2")
    assert closure(u, "amd64", [Request("a", "", "1")])[0].version == "1"
    with pytest.raises(ResolveError) as caught:
        closure(u, "amd64", [Request("a", "x", "3")])
    assert caught.value.code == "debian.unknown-version" and "2, 1" in caught.value.hint


def test_relations() -> None:
    assert parse_relations("a (>= 1.0~), b:any | c (<<2) ,, d [amd64] <!nocheck>") == [
        (Relation("a", ">=", "1.0~"),),
        (Relation("b", qualifier="any"), Relation("c", "<<", "2")),
        (Relation("d"),),
    ]


@given(st.text(alphabet="ab(>=<). ,|:[]<!1-", max_size=60))
def test_relations_take_anything(text: str) -> None:
    for group in parse_relations(text):
        assert group and all(relation.name for relation in group)


@given(
    st.from_regex(r"\A[a-z0-9][a-z0-9+.-]+\Z"),
    st.sampled_from(["<<", "<=", "=", ">=", ">>", ""]),
    st.from_regex(r"\A[0-9][0-9a-z.+~:-]*\Z"),
    st.sampled_from(["", "any", "amd64"]),
)
def test_relations_read_what_they_write(name: str, relation: str, version: str, qualifier: str) -> None:
    one = Relation(name, relation, version if relation else "", qualifier)
    assert parse_relation(str(one)) == one


_NAMES = [f"p{n}" for n in range(8)]


@given(
    st.lists(
        st.lists(st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3), max_size=3),
        min_size=8,
        max_size=8,
    ),
    st.permutations(_NAMES),
)
def test_closed_and_deterministic(graph: list[list[list[str]]], order: list[str]) -> None:
    lines = {
        n: f"{n} 1; Depends: " + ", ".join(" | ".join(g) for g in groups)
        for n, groups in zip(_NAMES, graph, strict=True)
    }
    found = names(archive("\n".join(lines[n] for n in _NAMES)), "p0", "p3")
    assert found == names(archive("\n".join(lines[n] for n in order)), "p0", "p3")
    for name in found:
        assert all(set(group) & set(found) for group in graph[_NAMES.index(name)])


def test_index_finds_every_line() -> None:
    u = archive("\n".join(f"{n} 1" for n in ("a", "a-b", "a1", "aa", "b", "zz")))
    for name in u.names():
        assert [p.name for p in u.packages(name)] == [name]
    for name in ("", "a-", "aaa", "c", "zzz", "-"):
        assert u.packages(name) == []
    assert archive("").names() == []


def test_folded_and_incomplete_stanzas() -> None:
    text = (
        b"Package: a\nVersion: 1\nArchitecture: all\nDepends: b,\n c (>= 1)\nFilename: f\nSize: 1\nSHA256: " + b"0" * 64
    )
    assert Index(build_index(text, "t"), "main").packages("a")[0].depends == "b, c (>= 1)"
    with pytest.raises(ResolveError) as caught:
        build_index(text.replace(b"SHA256", b"MD5sum"), "t")
    assert caught.value.code == "debian.index"
