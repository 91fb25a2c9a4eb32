# mypy: ignore-errors
"""Starts a kernel in the project's environment: with its own ipykernel where it has one, else with that of a directory,
argv[1], which stands behind everything of the project on sys.path, so that nothing of the project is shadowed.
"""

import sys

BEHIND = sys.argv.pop(1)
del sys.path[0]  # this file's directory; IPython puts the notebook's there

if __name__ == "__main__":
    import importlib.util

    if importlib.util.find_spec("ipykernel") is None:
        sys.path.append(BEHIND)
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
