"""bareboat completion: scripts for shells, made from the parsers themselves."""

from __future__ import annotations

import argparse

from bareboat.cli import VERBS
from bareboat.cli.dispatch import parser_of

SUMMARY = "Print a completion script for your shell."
IMAGES, CONTAINERS, RUNS = "images", "containers", "runs"
EXAMPLES = """\
  bareboat completion bash > ~/.local/share/bash-completion/completions/bareboat
  bareboat completion zsh  > ~/.zfunc/_bareboat
  bareboat completion fish > ~/.config/fish/completions/bareboat.fish
"""


def configure(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("shell", nargs="?", choices=("bash", "zsh", "fish"))
    what.add_argument("--names", choices=(IMAGES, CONTAINERS, RUNS), help="the names there are now, for the scripts")


def command(options: argparse.Namespace) -> int:
    """Print the script."""
    if options.names:
        print("\n".join(_names(options.names)))
        return 0
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


def _names(kind: str) -> list[str]:
    """What a user could mean here; nothing where the store cannot be read: a shell's line is no place for errors."""
    from bareboat.cli.plain import plain
    from bareboat.errors import BareboatError
    from bareboat.verbs.containers import listed
    from bareboat.wiring import store

    try:
        here = store()
        if kind == IMAGES:
            found = sorted({*here.tags(), *here.shared_images()})
        elif kind == CONTAINERS:
            found = [seen.container.name or seen.container.id[:12] for seen in listed(here)]
        else:
            found = ["last", *(run[:12] for run in here.runs.ids())]
    except (BareboatError, OSError):
        return []
    return [name for name in found if plain(name) == name and " " not in name]


def meant(verb: str) -> str:
    """Which names a verb takes, as its parser calls them; "" where it takes others."""
    words = [a.metavar for a in parser_of(verb)._actions if not a.option_strings and isinstance(a.metavar, str)]
    first = words[0] if words and verb not in ("pull", "volume") else ""
    if "IMAGE" in first:
        return IMAGES
    if first in ("NAME", "[NAME:]SOURCE") and verb in VERBS["containers"]:
        return CONTAINERS
    return RUNS if first in ("RUN", "A") else ""


def _bash(verbs: dict[str, str], flags: dict[str, list[tuple[str, str]]]) -> str:
    cases = "".join(f"    {v}) words='{' '.join(f for f, _ in flags[v])}' names={meant(v)} ;;\n" for v in verbs)
    return f"""\
_bareboat() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} names= words='{' '.join(verbs)}'
  if [ "$COMP_CWORD" -gt 1 ]; then
    case ${{COMP_WORDS[1]}} in
{cases}    *) words= ;;
    esac
    case $current in
    -*) ;;
    *)
      COMPREPLY=($(compgen -f -- "$current"))
      if [ -n "$names" ]; then
        local before=  # a colon parts words for readline: what stands before it stays
        if [ "$current" = : ]; then current= before=${{COMP_WORDS[COMP_CWORD-1]}}:
        elif [ "${{COMP_WORDS[COMP_CWORD-1]}}" = : ]; then before=${{COMP_WORDS[COMP_CWORD-2]}}:; fi
        local name
        for name in $(compgen -W "$(bareboat completion --names $names 2>/dev/null)" -- "$before$current"); do
          COMPREPLY+=("${{name#"$before"}}")
        done
      fi
      return ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o filenames -F _bareboat bareboat
"""


def _zsh(verbs: dict[str, str], flags: dict[str, list[tuple[str, str]]]) -> str:
    listed = "\n".join(f"    '{v}:{s.replace(chr(39), '’')}'" for v, s in verbs.items())
    cases = "".join(f"    {v}) _arguments {' '.join(repr(f) for f, _ in flags[v])} '*:{meant(v) or 'file'}:"
                    + (f"_bareboat_{meant(v)}" if meant(v) else "_files") + "' ;;\n" for v in verbs)
    kinds = "".join(f"_bareboat_{k}() {{\n  compadd -- ${{(f)\"$(bareboat completion --names {k} 2>/dev/null)\"}}\n"
                    "  _files\n}\n" for k in (IMAGES, CONTAINERS, RUNS))
    return f"""\
#compdef bareboat
{kinds}_bareboat() {{
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
    lines += [f"complete -c bareboat -n '__fish_seen_subcommand_from {v}' -a '(bareboat completion --names {meant(v)})'"
              for v in verbs if meant(v)]
    return "\n".join(lines) + "\n"
