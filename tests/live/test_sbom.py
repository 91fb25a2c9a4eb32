"""The bill of materials of a real image against what others find in it: its layers, and the Python inside."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packageurl import PackageURL
from packaging.utils import canonicalize_name
from tests.live.test_save import bareboat

pytestmark = pytest.mark.live
INSIDE = """\
import importlib.metadata as m, json
print(json.dumps(sorted([d.metadata["Name"], d.version] for d in m.distributions())))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "requirements.txt").write_text("numpy\nsetuptools\nscikit-learn\n")  # setuptools carries others inside
    (root / "bareboat.toml").write_text('apt = ["jq", "python3-six"]\n')
    return root


@pytest.fixture(scope="module")
def home(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("store") / "home"
    bareboat(place, "build", "-t", "bareboat-test/sbom:1", cwd=project)
    yield place


def listed(home: Path, project: Path, form: str) -> set[tuple[str, str, str]]:
    document = json.loads(bareboat(home, "sbom", "--format", form, "--locked", cwd=project))
    urls = [c["purl"] for c in document.get("components", ())]
    urls += [r["referenceLocator"] for p in document.get("packages", ()) for r in p.get("externalRefs", ())]
    return {(p.type, p.name, str(p.version)) for p in map(PackageURL.from_string, urls)}


@pytest.mark.parametrize("form", ["spdx", "cyclonedx"])
def test_nothing_more_and_nothing_less_than_a_scanner_finds(form: str, home: Path, project: Path) -> None:
    bareboat(home, "save", "bareboat-test/sbom:1", "-o", f"{form}/", cwd=project)
    blobs = project / form / "blobs/sha256"
    [row] = json.loads((project / form / "index.json").read_bytes())["manifests"]
    manifest = json.loads((blobs / row["digest"][7:]).read_bytes())
    found, status = set(), ""
    for layer in manifest["layers"]:
        with tarfile.open(blobs / layer["digest"][7:]) as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                file = tar.extractfile(member) if member.isfile() else None
                text = file.read().decode("utf-8", "replace") if file is not None and (
                    folder.startswith("var/lib/dpkg") or folder.endswith((".dist-info", ".egg-info"))
                    or name.endswith(".egg-info")) else ""
                if folder == "var/lib/dpkg/status.d" and not name.endswith(".md5sums"):
                    fields = HeaderParser().parsestr(text)
                    found.add(("deb", fields["Package"], fields["Version"]))
                elif member.name == "var/lib/dpkg/status":
                    status = text
                elif text and (name in ("METADATA", "PKG-INFO") or name.endswith(".egg-info")):
                    fields = HeaderParser().parsestr(text)
                    found.add(("pypi", canonicalize_name(fields["Name"]), fields["Version"]))
    assert listed(home, project, form) ^ found == set()
    packages = [HeaderParser().parsestr(p) for p in status.split("\n\n") if p.strip()]
    assert {(p["Package"], p["Version"]) for p in packages} == {(n, v) for kind, n, v in found if kind == "deb"}
    assert len(found) > 60 and all(p["Status"] == "install ok installed" for p in packages)


def test_python_inside_sees_the_same_packages(home: Path, project: Path) -> None:
    inside = json.loads(bareboat(home, "run", "--", "python", "-c", INSIDE, cwd=project))
    known = {(name, version) for kind, name, version in listed(home, project, "spdx") if kind == "pypi"}
    assert {(canonicalize_name(name), version) for name, version in inside} <= known
    assert {"numpy", "setuptools", "scikit-learn"} <= {name for name, _ in known}
