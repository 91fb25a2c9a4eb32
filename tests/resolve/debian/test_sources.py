from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import ResolveError
from bareboat.resolve.debian.sources import (
    AptSource,
    ArchiveSettings,
    find_mirrors,
    parse_deb822,
    parse_one_line,
    read_host_sources,
    redacted,
)

DEB822 = """# a comment
Types: deb deb-src
URIs: https://archive.example/debian
 https://second.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://archive.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: https://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: https://src.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://foreign.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: https://corp.example/apt
Suites: bookworm
Components: main
Signed-By: /etc/apt/keyrings/corp.gpg
"""


def test_deb822() -> None:
    found = parse_deb822(DEB822, "f")
    assert [s.uris[0] for s in found] == [
        "https://archive.example/debian",
        "https://archive.example/debian-security",
        "https://foreign.example/debian",
        "https://corp.example/apt",
    ]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[0].components == ("main", "contrib")


def test_one_line() -> None:
    found = parse_one_line(
        """
# deb https://commented.example/debian bookworm main
deb-src https://src.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12 _Bookworm_]/ bookworm main
deb [arch=amd64 signed-by=/k/debian-archive-keyring.gpg] https://a.example/debian bookworm main contrib # why
deb\thttps://b.example/debian/\tbookworm-updates\tmain
deb [broken https://c.example/debian bookworm main
deb
""",
        "f",
    )
    assert found == [
        AptSource(
            ("https://a.example/debian",),
            ("bookworm",),
            ("main", "contrib"),
            ("/k/debian-archive-keyring.gpg",),
            "f",
        ),
        AptSource(("https://b.example/debian/",), ("bookworm-updates",), ("main",), (), "f"),
    ]


def test_mirrors_of_a_host() -> None:
    mirrors = find_mirrors("debian", ArchiveSettings(), parse_deb822(DEB822))
    assert mirrors.main[:2] == ("https://archive.example/debian", "https://second.example/debian")
    assert "https://corp.example/apt" not in mirrors.main
    assert mirrors.security == ("https://archive.example/debian-security",)
    assert mirrors.keyrings == ("/usr/share/keyrings/debian-archive-keyring.gpg",)


def test_ubuntu_host() -> None:
    sources = parse_one_line(
        "deb http://a.example/ubuntu noble main universe\ndeb http://s.example/ubuntu noble-security main universe\n"
    )
    mirrors = find_mirrors("ubuntu", ArchiveSettings(), sources)
    assert mirrors.main == ("http://a.example/ubuntu",)
    assert mirrors.security == ("http://s.example/ubuntu",)
    with pytest.raises(ResolveError) as caught:
        find_mirrors("debian", ArchiveSettings(), sources)
    assert caught.value.code == "debian.no-mirror"


def test_setting_wins_and_nothing_is_an_error() -> None:
    settings = ArchiveSettings(mirror="https://set.example/debian/")
    assert find_mirrors("debian", settings, parse_deb822(DEB822)).main == ("https://set.example/debian",)
    with pytest.raises(ResolveError) as caught:
        find_mirrors("debian", ArchiveSettings(), [])
    assert caught.value.code == "debian.no-mirror"
    assert "debian.mirror" in caught.value.hint


def test_mirror_list(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# best first\nhttps://one.example/debian priority:1\nhttps://two.example/debian\n")
    source = AptSource((f"mirror+file:{tmp_path}/list",), ("trixie",), ("main",), ("/k/debian-archive-keyring.gpg",))
    assert find_mirrors("debian", ArchiveSettings(), [source]).main == (
        "https://one.example/debian",
        "https://two.example/debian",
    )


def test_reading_a_host(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb https://a.example/debian trixie main\n")
    (tmp_path / "sources.list.d" / "b.sources").write_text(DEB822)
    (tmp_path / "sources.list.d" / "c.list.save").write_text("deb https://c.example/debian trixie main\n")
    (tmp_path / "sources.list.d" / "d.list").mkdir()
    assert [s.uris[0] for s in read_host_sources(tmp_path)][:2] == [
        "https://a.example/debian",
        "https://archive.example/debian",
    ]
    assert read_host_sources(tmp_path / "nowhere") == []


def test_credentials_are_never_shown() -> None:
    assert redacted("https://user:secret@a.example/debian") == "https://a.example/debian"


@given(st.text(alphabet=st.sampled_from("deb [=]:/.#\n\tx-URIsTypesSu,")))
def test_parsers_take_anything(text: str) -> None:
    for source in (*parse_one_line(text), *parse_deb822(text)):
        assert source.uris and source.suites
    try:
        find_mirrors("debian", ArchiveSettings(), [*parse_one_line(text), *parse_deb822(text)])
    except ResolveError as error:
        assert error.code == "debian.no-mirror"
