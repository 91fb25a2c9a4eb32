"""Objects of a cluster as YAML for people: in the order they were made, long text as it is. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bareboat.values import Any


def to_yaml(documents: Iterable[dict[str, Any]]) -> str:
    """One document after the other; reading it gives the same values back."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Lists indented below their key, and no aliases, which kubectl reads and people do not."""

        def ignore_aliases(self, data: object) -> bool:
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        block = "\n" in value and all(line == line.rstrip() for line in value.split("\n"))
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if block else None)

    Dumper.add_representer(str, text)
    return yaml.dump_all(documents, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110, explicit_start=True)
