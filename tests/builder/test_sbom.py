"""The bill of materials is what is really installed, valid by others' validators, and the same bytes everywhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from tests.builder.image_factory import SOURCES, plan_in, quiet
from tests.world_kit import carrying, wheel

from bareboat.builder.blobs import make_blobs
from bareboat.builder.layers import image_tree_key
from bareboat.builder.sbom import CYCLONEDX, SPDX, Document, attach_sbom, sbom_document
from bareboat.errors import UsageError
from bareboat.image.manifest import Manifest, read_manifest
from bareboat.image.plan import Plan
from bareboat.image.planning import image_plan, package_files
from bareboat.image.spec import MANIFEST, Descriptor
from bareboat.lock import BaseImage, CPython, ImageLayer, Wheel
from bareboat.project.values import Package
from bareboat.store import Store

VENDORED = "Metadata-Version: 2.1\nName: Inner_Part\nVersion: 7\n\n"
Pairs = set[tuple[str, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def made(store: Store) -> Plan:
    """A base, two wheels of which one carries a package inside itself, and a packaged project."""
    locked = []
    for name, data in (("one", carrying("one", "inner_part")), ("two", wheel("two", "1.0"))):
        locked.append(Wheel(name, "1.0", f"{name}-1.0-py3-none-any.whl", "", store.put_blob([data]), len(data)))
    plan = replace(plan_in(store, {}), wheels=tuple(locked))
    package = Package("My.Project", "0.3", "/app/src", (("tool", "my:main"),))
    return replace(plan, generated=(*plan.generated, *package_files(package, plan.interpreter)))


def scanned(store: Store, plan: Plan) -> Pairs:
    """What a scanner finds in the image as it is shipped: the files of its layers, whoever wrote them."""
    files: dict[str, bytes] = {}
    for layer in make_blobs(store, plan, SOURCES, quiet).layers:
        blob = store.blob(layer.digest.removeprefix("sha256:"))
        assert blob is not None
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob.read_bytes()))) as tar:
            files.update((m.name, tar.extractfile(m).read()) for m in tar if m.isfile())  # type: ignore[union-attr]
    found: Pairs = set()
    for path, data in files.items():
        folder, _, name = path.rpartition("/")
        if folder == "var/lib/dpkg/status.d" and not name.endswith(".md5sums"):
            fields = HeaderParser().parsestr(data.decode())
            found.add(("deb", fields["Package"], fields["Version"]))
        if folder.endswith(".dist-info") and name == "METADATA":
            fields = HeaderParser().parsestr(data.decode())
            found.add(("pypi", canonicalize_name(fields["Name"]), fields["Version"]))
    return found


def listed(document: Document) -> Pairs:
    """What a document says, by its package URLs."""
    from packageurl import PackageURL

    read = json.loads(document.data)
    if "components" in read:
        urls = [c["purl"] for c in read["components"]]
    else:
        urls = [r["referenceLocator"] for p in read["packages"] for r in p.get("externalRefs", [])]
    parsed = [PackageURL.from_string(url) for url in urls]
    return {(p.type, p.name, str(p.version)) for p in parsed}


@pytest.mark.parametrize("form", [SPDX, CYCLONEDX])
def test_it_lists_what_is_really_installed(store: Store, form: str) -> None:
    plan = made(store)
    really = scanned(store, plan)
    assert {("pypi", "one", "1.0"), ("pypi", "inner-part", "7"), ("pypi", "my-project", "0.3")} <= really
    assert {name for kind, name, _ in really if kind == "deb"} == {d.name for d in plan.debs}
    assert listed(sbom_document(store, plan, form)) ^ really == set()


@pytest.mark.parametrize("form", [SPDX, CYCLONEDX])
def test_broken_controls_are_caught(store: Store, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees a package too many, one too few, and one in another version."""
    from bareboat.builder import sbom as builder
    from bareboat.image.inventory import Told

    plan = made(store)
    really = scanned(store, plan)
    fewer = replace(plan, wheels=plan.wheels[:1])
    assert listed(sbom_document(store, fewer, form)) ^ really == {("pypi", "two", "1.0")}
    wrong = (replace(plan.debs[0], version="0"), *plan.debs[1:])
    assert len(listed(sbom_document(store, replace(plan, debs=wrong), form)) ^ really) >= 1
    monkeypatch.setattr(builder, "contents", lambda store, keys: Told())
    unlocked = {("pypi", "inner-part", "7"), ("pypi", "my-project", "0.3")}
    assert listed(sbom_document(store, plan, form)) ^ really == unlocked


def test_cyclonedx_is_valid_by_its_library(store: Store) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = sbom_document(store, made(store), CYCLONEDX, "lab/seg:1").data.decode()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"type": "library"', '"type": "no such"')) is not None


def test_spdx_is_valid_by_its_library(store: Store) -> None:
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    read = json.loads(sbom_document(store, made(store), SPDX, "lab/seg:1").data)
    assert validate_full_spdx_document(JsonLikeDictParser().parse(read)) == []
    read["packages"][1]["SPDXID"] = "no id"
    assert validate_full_spdx_document(JsonLikeDictParser().parse(read)) != []


@pytest.mark.parametrize("form", [SPDX, CYCLONEDX])
def test_the_same_plan_gives_the_same_bytes(store: Store, tmp_path: Path, form: str) -> None:
    other, plan = Store.open(tmp_path / "elsewhere"), made(store)
    for source in (*plan.debs, *plan.wheels):  # built once: a package that is built again has other times in it
        blob = store.blob(source.sha256)
        assert blob is not None
        other.put_blob([blob.read_bytes()])
    documents = []
    for place in (store, other, store):
        make_blobs(place, plan, SOURCES, quiet)
        documents.append(sbom_document(place, plan, form, "seg"))
    assert documents[0] == documents[1] == documents[2]
    assert b"2026-01-01T00:00:00" in documents[0].data  # the date of the lock
    later = sbom_document(store, plan, form, "seg", "2027-02-03T04:05:06Z")
    assert b"2027-02-03T04:05:06" in later.data and b"2026-01-01" not in later.data


def test_what_is_known_of_a_package(store: Store) -> None:
    plan = made(store)
    secret = replace(plan.wheels[0], url="https://user:hunter2@index.example/one.whl")
    for form in (SPDX, CYCLONEDX):
        text = sbom_document(store, replace(plan, wheels=(secret, *plan.wheels[1:])), form).data.decode()
        assert secret.sha256 in text and "https://index.example/one.whl" in text and "hunter2" not in text
        assert f"?arch={plan.debs[0].architecture}&distro=trixie" in text.replace("\\u0026", "&")


def test_a_wheel_that_calls_itself_something_else_is_noted(store: Store) -> None:
    plan = plan_in(store, {"one": {"one.py": b""}})  # its METADATA says demo
    make_blobs(store, plan, SOURCES, quiet)
    document = sbom_document(store, plan)
    assert document.notes == ("one 1.0 is locked, and no file of the image tells of it",)
    assert {("pypi", "one", "1.0"), ("pypi", "demo", "1.0")} <= listed(document)


def test_an_unknown_form_is_named(store: Store) -> None:
    with pytest.raises(UsageError) as caught:
        sbom_document(store, made(store), "word")
    assert caught.value.code == "sbom.format" and "spdx" in caught.value.hint


def test_the_artifact_speaks_of_the_image(store: Store) -> None:
    image = Descriptor(MANIFEST, "sha256:" + "a" * 64, 1234)
    document = sbom_document(store, made(store), SPDX)
    content, blobs = attach_sbom(image, document)
    assert content.digest == "sha256:" + hashlib.sha256(content.data).hexdigest()
    manifest = read_manifest(content.data, content.media_type, "artifact")
    assert isinstance(manifest, Manifest) and manifest.subject == image
    assert manifest.artifact_type == "application/spdx+json" and manifest.config.data == b"{}"
    sent = {b.descriptor.digest: b"".join(b.open(0)) for b in blobs}
    assert set(sent) == {manifest.config.descriptor.digest, *(x.descriptor.digest for x in manifest.layers)}
    assert sent[manifest.layers[0].descriptor.digest] == document.data
    for blob in blobs:
        data = sent[blob.descriptor.digest]
        assert blob.descriptor.digest == "sha256:" + hashlib.sha256(data).hexdigest()
        assert blob.descriptor.size == len(data) and b"".join(blob.open(1)) == data[1:]


BASE = {
    "var/lib/dpkg/status": "Package: libb\nStatus: install ok installed\nVersion: 1:2.0\nArchitecture: amd64\n"
                           "Depends: libc6 (>= 2)\n\nPackage: libc6\nStatus: install ok installed\nVersion: 2.36\n"
                           "Architecture: amd64\n",
    "var/lib/rpm/rpmdb.sqlite": "",
    "usr/lib/python3/dist-packages/torch-2.1.dist-info/METADATA": "Name: torch\nVersion: 2.1\nRequires-Dist: numpy\n",
    "usr/lib/python3/dist-packages/numpy-1.26.dist-info/METADATA": "Name: numpy\nVersion: 1.26\n",
}


def foreign(store: Store, files: dict[str, str] | None = None) -> Plan:
    """The plan of an image of others whose tree is in the store."""
    digest = "sha256:" + "b" * 64
    image = BaseImage("ghcr.io/lab/base:1", digest, 1, MANIFEST, digest, 1, (ImageLayer(digest, 7, digest, "l"),))

    def fill(tree):  # type: ignore[no-untyped-def]
        for path, text in (files or BASE).items():
            tree.file(path, 0o644, [text.encode()])

    store.make_tree(image_tree_key(image), fill)
    return image_plan(image, "linux/amd64")


@pytest.mark.parametrize("form", [SPDX, CYCLONEDX])
def test_what_a_base_of_others_brings_is_listed(store: Store, form: str) -> None:
    document = sbom_document(store, foreign(store), form)
    assert listed(document) == {("deb", "libb", "1:2.0"), ("deb", "libc6", "2.36"), ("pypi", "torch", "2.1"),
                                ("pypi", "numpy", "1.26"), ("oci", "base", "sha256:" + "b" * 64)}
    assert document.notes == ("/var/lib/rpm/rpmdb.sqlite is an RPM database: its packages are not listed",)
    assert b"RPM database" in document.data and b"repository_url=ghcr.io" in document.data


@pytest.mark.parametrize(("release", "kind", "url"), [
    ("ID=ubuntu\nVERSION_ID=24.04\nVERSION_CODENAME=noble\n", "var/lib/dpkg/status",
     "pkg:deb/ubuntu/a@1?arch=amd64&distro=noble"),
    ("ID=alpine\nVERSION_ID=3.20.1\n", "lib/apk/db/installed", "pkg:apk/alpine/a@1?arch=amd64&distro=alpine-3.20.1"),
    ("", "var/lib/dpkg/status", "pkg:deb/debian/a@1?arch=amd64")])
def test_packages_are_of_their_distribution(store: Store, release: str, kind: str, url: str) -> None:
    text = "P:a\nV:1\nA:amd64\n" if "apk" in kind else "Package: a\nVersion: 1\nArchitecture: amd64\n"
    read = json.loads(sbom_document(store, foreign(store, {"etc/os-release": release, kind: text}), CYCLONEDX).data)
    assert url in [c["purl"] for c in read["components"]]


def test_names_of_strangers_stay_data(store: Store) -> None:
    """A package named by somebody hostile is text in a valid document, whatever it is."""
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    evil = 'x"},{"name": "\x1b[2J\u202e' + "y" * 300
    plan = foreign(store, {"a-1.dist-info/METADATA": f"Name: {evil}\nVersion: ../1?a=b#c\n"})
    read = json.loads(sbom_document(store, plan, SPDX).data)
    assert evil in [p["name"] for p in read["packages"]]
    assert validate_full_spdx_document(JsonLikeDictParser().parse(read)) == []
    cyclonedx = json.loads(sbom_document(store, plan, CYCLONEDX).data)
    assert evil in [c["name"] for c in cyclonedx["components"]]


@pytest.mark.parametrize("reference", ["oci:/home/me/secret/seg:1", "archive:sha256:" + "c" * 64, "docker-daemon:x:1"])
def test_where_a_base_lay_on_this_disk_is_not_told(store: Store, reference: str) -> None:
    plan = foreign(store)
    assert plan.image is not None
    local = replace(plan, image=replace(plan.image, reference=reference))
    for form in (SPDX, CYCLONEDX):
        document = sbom_document(store, local, form, "seg:1")
        assert ("oci", "image", plan.image.manifest) in listed(document)
        assert b"secret" not in document.data and b"oci:/" not in document.data


@pytest.mark.parametrize("form", [SPDX, CYCLONEDX])
def test_a_relocatable_python_is_listed(store: Store, form: str) -> None:
    python = CPython("3.12.11", "https://mirror.example/cpython-3.12.11.tar.gz", "d" * 64, 9)
    plan = replace(made(store), cpython=python)
    document = sbom_document(store, plan, form)
    assert ("generic", "cpython", "3.12.11") in listed(document) and b"d" * 64 in document.data
    assert not any("cpython" in note for note in document.notes)
