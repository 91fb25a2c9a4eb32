"""Runs inside the sandbox, with the image's Python 2.7: the last pip for it resolves and downloads.

argv: pip's wheel, REPORT (a JSON file to write), then pip's own arguments. pip 20.3 has no report of what
it chose, so its resolver's answer is written down on its way. Python 2.7 syntax; the standard library and
pip's wheel only.
"""

# mypy: ignore-errors

import json
import sys


def main(wheel, report, arguments):
    sys.path.insert(0, wheel)
    from pip._internal.cli.main import main as pip
    from pip._internal.index.package_finder import PackageFinder
    from pip._internal.resolution.resolvelib.resolver import Resolver

    answer = Resolver.resolve

    def resolve(self, requirements, check_supported_wheels):
        chosen = answer(self, requirements, check_supported_wheels)
        rows = [row(r) for r in chosen.requirements.values()]
        with open(report, "w") as f:
            json.dump(sorted(rows, key=lambda r: r["name"]), f)
        return chosen

    # pip remembers an index page by functools.lru_cache, which Python 2 has not: a second for each look
    # at numpy's
    look, seen = PackageFinder.find_all_candidates, {}

    def find_all_candidates(self, project_name):
        if project_name not in seen:
            seen[project_name] = look(self, project_name)
        return list(seen[project_name])

    PackageFinder.find_all_candidates = find_all_candidates
    Resolver.resolve = resolve
    return pip(arguments)


def row(requirement):
    """What is locked of one choice. original_link: where it came from before pip's cache stepped in."""
    link = requirement.original_link or requirement.link
    above = requirement.comes_from
    return {
        "name": requirement.name,
        "url": link.url_without_fragment,
        "filename": link.filename,
        "requested": above is None or not hasattr(above, "link"),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
