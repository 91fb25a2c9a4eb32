"""bareboat completion: scripts for shells, made from the parsers themselves."""

from __future__ import annotations

import argparse

from bareboat.cli import VERBS
from bareboat.cli.dispatch import parser_of

SUMMARY = "Print a completion script for your shell."
EXAMPLES = """\
  bareboat completion bash > ~/.local/share/bash-completion/completions/bareboat
  bareboat completion zsh  > ~/.zfunc/_bareboat
  bareboat completion fish > ~/.config/fish/completions/bareboat.fish
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def command(options: argparse.Namespace) -> int:
    """Print the script."""
    verbs = {name: summary for group in VERBS.values() for name, summary in group.items()}
    flags = {verb: _flags(verb) for verb in verbs}
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](verbs, flags), end="")
    return 0


def _flags(verb: str) -> list[tuple[str, str]]:
    actions = _actions(parser_of(verb))
    return [(flag, (a.help or "").replace("'", "’")) for a in actions for flag in a.option_strings
            if flag.startswith("--")]


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """A parser's, with those of the words that stand behind its verb; each flag once."""
    found: dict[tuple[str, ...], argparse.Action] = {}
    for action in parser._actions:
        found.setdefault(tuple(action.option_strings), action)
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                for inner in _actions(below):
                    found.setdefault(tuple(inner.option_strings), inner)
    return list(found.values())


def _bash(verbs: dict[str, str], flags: dict[str, list[tuple[str, str]]]) -> str:
    cases = "".join(f"    {v}) words='{' '.join(f for f, _ in flags[v])}' ;;\n" for v in verbs)
    return f"""\
_bareboat() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words='{' '.join(verbs)}'
  if [ "$COMP_CWORD" -gt 1 ]; then
    case ${{COMP_WORDS[1]}} in
{cases}    *) words= ;;
    esac
    case $current in -*) ;; *) COMPREPLY=($(compgen -f -- "$current")); return ;; esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o filenames -F _bareboat bareboat
"""


def _zsh(verbs: dict[str, str], flags: dict[str, list[tuple[str, str]]]) -> str:
    listed = "\n".join(f"    '{v}:{s.replace(chr(39), '’')}'" for v, s in verbs.items())
    cases = "".join(f"    {v}) _arguments {' '.join(repr(f) for f, _ in flags[v])} '*:file:_files' ;;\n" for v in verbs)
    return f"""\
#compdef bareboat
_bareboat() {{
  local -a verbs=(
{listed}
  )
  if (( CURRENT == 2 )); then _describe verb verbs; return; fi
  local verb=$words[2]
  shift words; (( CURRENT-- ))
  case $verb in
{cases}  esac
}}
_bareboat "$@"
"""


def _fish(verbs: dict[str, str], flags: dict[str, list[tuple[str, str]]]) -> str:
    lines = [f"complete -c bareboat -n __fish_use_subcommand -f -a {v} -d '{s.replace(chr(39), '’')}'"
             for v, s in verbs.items()]
    lines += [f"complete -c bareboat -n '__fish_seen_subcommand_from {v}' -l {flag[2:]} -d '{text}'"
              for v in verbs for flag, text in flags[v]]
    return "\n".join(lines) + "\n"
