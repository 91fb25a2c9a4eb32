"""The home of a project's sessions: kept in the store from one to the next, with what dotfiles are given to it.

Everything else of a session is thrown away; the home has what is the person's and not the project's: history,
dotfiles, caches, the servers that editors install.
"""

from __future__ import annotations

import os
from pathlib import Path

from bareboat.digests import sha256

BASHRC = r"""# Written once by bareboat; it is yours.
[ -n "$PS1" ] || return 0
shopt -s histappend checkwinsize 2>/dev/null
HISTSIZE=100000 HISTFILESIZE=200000 HISTCONTROL=ignoredups
PROMPT_COMMAND='history -a'
if [ -n "$NO_COLOR" ] || [ "$TERM" = dumb ]; then
    PS1='(${BAREBOAT_PROJECT:-bareboat}) \w\$ '
else
    PS1='\[\e[36m\](${BAREBOAT_PROJECT:-bareboat})\[\e[0m\] \w\$ '
    alias ls='ls --color=auto' grep='grep --color=auto' 2>/dev/null
fi
"""
PROFILE = """# Written once by bareboat; it is yours. For shells that log in, as over SSH.
if [ -n "$BASH_VERSION" ] && [ -r ~/.bashrc ]; then . ~/.bashrc; fi
"""
DOTFILES = ((".bashrc", BASHRC), (".profile", PROFILE))


def home_name(root: Path, project: str) -> str:
    """A name for the home of the project in this folder: readable in front, the folder's digest behind. Pure."""
    return f"{project[:40]}-{sha256(os.fsencode(root)).hexdigest()[:12]}"


def furnish(home: Path) -> None:
    """Give dotfiles to a home that is new: one that has anything is its owner's, and is left alone."""
    if os.listdir(home):
        return
    for name, text in DOTFILES:
        (home / name).write_text(text, encoding="utf-8")
