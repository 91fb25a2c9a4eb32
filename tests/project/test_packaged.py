"""A packaged project: what it offers, where it is imported from, whether it compiles."""

from __future__ import annotations

import pytest

from bareboat.errors import ProjectError
from bareboat.project import load

HEAD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
PROJECT = '[project]\nname = "digits"\nversion = "1.2"\n'


def test_scripts_and_entry_points(make) -> None:
    text = (
        HEAD
        + PROJECT
        + (
            'scripts = {b = "digits:b", a = "digits.cli:main"}\ngui-scripts = {g = "digits:g"}\n'
            '[project.entry-points."x.plugins"]\none = "digits:one"\n'
        )
    )
    found = load(make({"pyproject.toml": text, "src/digits/__init__.py": ""})).package
    assert found is not None
    assert (found.name, found.version, found.import_path, found.native) == (
        "digits",
        "1.2",
        "/app/src",
        False,
    )
    assert found.scripts == (("a", "digits.cli:main"), ("b", "digits:b"), ("g", "digits:g"))
    assert found.entry_points == (("x.plugins", "one", "digits:one"),)


@pytest.mark.parametrize("text", [HEAD, PROJECT, "[tool.ruff]\n"])
def test_both_tables_are_needed(make, text: str) -> None:
    assert load(make({"pyproject.toml": text})).package is None


def test_a_dynamic_version_is_zero(make) -> None:
    found = load(make({"pyproject.toml": HEAD + '[project]\nname = "a"\ndynamic = ["version"]\n'})).package
    assert found is not None and found.version == "0"


@pytest.mark.parametrize(
    ("files", "more", "path"),
    [
        ({"src/": ""}, "", "/app/src"),
        ({"digits/": ""}, "", "/app"),
        ({"lib/": ""}, '[tool.setuptools.package-dir]\n"" = "lib"\n', "/app/lib"),
        ({"lib/": ""}, '[tool.setuptools.packages.find]\nwhere = ["lib"]\n', "/app/lib"),
        ({"lib/": ""}, '[tool.hatch.build.targets.wheel]\npackages = ["lib/digits"]\n', "/app/lib"),
        ({"digits/": ""}, '[tool.hatch.build.targets.wheel]\npackages = ["digits"]\n', "/app"),
        ({"src/": ""}, '[tool.hatch.build.targets.wheel]\npackages = ["src/digits"]\n', "/app/src"),
        ({"src/": "", "python/": ""}, '[tool.maturin]\npython-source = "python"\n', "/app/src"),
        ({"src/": ""}, '[tool.bareboat]\ncode = "."\n', "/app/src"),
        ({"a/": ""}, '[tool.setuptools.package-dir]\n"" = "../../etc"\n', "/app"),
    ],
)
def test_the_import_path_is_where_the_backend_packs_from(
    make, files: dict[str, str], more: str, path: str
) -> None:
    found = load(make({"pyproject.toml": HEAD + PROJECT + more, **files})).package
    assert found is not None and found.import_path == path


SETUPTOOLS = '[build-system]\nrequires = ["setuptools{}"]\nbuild-backend = "setuptools.build_meta"\n'


@pytest.mark.parametrize(
    ("build", "files", "native"),
    [
        (HEAD, {"CMakeLists.txt": "", "a.pyx": "", "Cargo.toml": ""}, False),
        ('[build-system]\nrequires = ["maturin"]\nbuild-backend = "maturin"\n', {}, True),
        ('[build-system]\nrequires = []\nbuild-backend = "scikit_build_core.build"\n', {}, True),
        ('[build-system]\nrequires = ["meson-python"]\nbuild-backend = "mesonpy"\n', {}, True),
        (SETUPTOOLS.format(""), {}, False),
        (SETUPTOOLS.format('", "Cython>=3'), {}, True),
        (SETUPTOOLS.format(""), {"setup.py": "from setuptools import setup\nsetup()"}, False),
        (SETUPTOOLS.format(""), {"setup.py": "setup(ext_modules=[])"}, True),
        (SETUPTOOLS.format(""), {"setup.py": "setup()", "digits/fast.pyx": ""}, True),
        (SETUPTOOLS.format(""), {"digits/fast.pyx": ""}, False),
        (
            SETUPTOOLS.format("") + '[[tool.setuptools.ext-modules]]\nname = "a"\nsources = ["a.c"]\n',
            {},
            True,
        ),
        ("[build-system]\n", {"setup.py": "setup(cffi_modules=[])"}, True),
    ],
)
def test_compiled_extensions_are_told_conservatively(
    make, build: str, files: dict[str, str], native: bool
) -> None:
    found = load(make({"pyproject.toml": build + PROJECT, **files})).package
    assert found is not None and found.native is native


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[project]\nversion = '1'\n", "project.name"),
        ("[project]\nname = '../x'\n", "project.name"),
        ("[project]\nname = 'a'\nversion = 1\n", "project.version"),
        ("[project]\nname = 'a'\nversion = '../1'\n", "project.version"),
        (PROJECT + "scripts = ['a']\n", "project.scripts"),
        (PROJECT + "scripts = {'../a' = 'a:b'}\n", "project.scripts"),
        (PROJECT + 'scripts = {a = "a:b\\nimport os"}\n', "project.scripts"),
        (PROJECT + "entry-points = {a = 'b'}\n", "project.entry-points.a"),
        (PROJECT + "entry-points = 1\n", "project.entry-points"),
    ],
)
def test_tables_of_wrong_types_are_errors_with_their_key(make, text: str, where: str) -> None:
    with pytest.raises(ProjectError) as caught:
        load(make({"pyproject.toml": HEAD + text}))
    assert (caught.value.code, caught.value.where) == ("project.pyproject", f"pyproject.toml: {where}")
