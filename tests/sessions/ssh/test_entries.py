"""What ssh's configuration is told, to the letter."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.errors import UsageError
from bareboat.sessions.ssh import entries
from bareboat.sessions.ssh.entries import Entry

ENTRY = Entry("wine", "user", ("/opt/bin/bareboat", "ssh", "--stdio", "wine"), "/h/ssh/id", "/h/ssh/known_hosts")


def test_a_host_entry() -> None:
    assert entries.host_entry(ENTRY) == """\
Host bareboat-wine
    User user
    ProxyCommand /opt/bin/bareboat ssh --stdio wine
    HostKeyAlias bareboat-wine
    UserKnownHostsFile "/h/ssh/known_hosts"
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    IdentityFile "/h/ssh/id"
    IdentitiesOnly yes
    PreferredAuthentications publickey
    ForwardX11 no
    ForwardAgent no
"""


def test_an_entry_for_another_machine_uses_its_own_keys() -> None:
    text = entries.far_entry(Entry("wine", "user", ("env", "A=b c", "bareboat"), "/h/id", "/h/known"), "gpu1",
                             "ssh-ed25519 AAAA")
    assert text == """\
Host bareboat-wine
    User user
    ProxyCommand ssh gpu1 'env '"'"'A=b c'"'"' bareboat'
    HostKeyAlias bareboat-wine
    StrictHostKeyChecking yes
    # in ~/.ssh/known_hosts there: bareboat-wine ssh-ed25519 AAAA
"""


def test_files_are_whole_and_sorted() -> None:
    other = Entry("beer", "root", ("b",), "/i", "/k", True)
    text = entries.include_file([ENTRY, other])
    assert text.index("Host bareboat-beer") < text.index("Host bareboat-wine")
    assert text.startswith("# Written by `bareboat ssh`")
    assert "ForwardAgent yes" in text
    assert entries.known_hosts([("wine", "k 2"), ("beer", "k 1")]) == "bareboat-beer k 1\nbareboat-wine k 2\n"


def test_the_include_line_is_put_in_front_and_once() -> None:
    before = "Host *\n    User me\n"
    text = entries.with_include(before, "/h/ssh/config")
    assert text == f'# bareboat\'s containers\nInclude "/h/ssh/config"\n\n{before}'
    assert entries.with_include(text, "/h/ssh/config") is None
    assert entries.with_include("Include /h/ssh/config\n", "/h/ssh/config") is None
    assert entries.with_include("", "/h/ssh/config") == '# bareboat\'s containers\nInclude "/h/ssh/config"\n'


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\n", "a/b", "é", "*", "a" * 65, "a;b"])
def test_a_name_is_a_word(name: str) -> None:
    with pytest.raises(UsageError) as error:
        entries.check_name(name)
    assert error.value.code == "ssh.name"


def test_a_path_that_cannot_be_written_down_is_refused() -> None:
    assert entries.quoted("/a b/100%") == '"/a b/100%%"'
    for path in ('/a"b', "/a\nb"):
        with pytest.raises(UsageError) as error:
            entries.quoted(path)
        assert error.value.code == "ssh.path"


@pytest.mark.parametrize("path", ["/a%b/config", "/a*/config", "/[a]/config"])
def test_a_file_that_cannot_be_included_is_said(path: str) -> None:
    with pytest.raises(UsageError) as error:
        entries.include_line(path)
    assert error.value.code == "ssh.path"


@given(st.lists(st.text(st.characters(exclude_characters="\0\n\r", codec="utf-8"), min_size=1), min_size=1))
def test_a_proxy_command_means_its_words(argv: list[str]) -> None:
    text = entries.proxy_command(argv)
    assert "%" not in text.replace("%%", "")
    assert shlex.split(text.replace("%%", "%")) == argv
