"""inspect --sizes: of an assembled image, and of one that stands on others' base."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.builder.image_factory import SOURCES, plan_in, quiet
from tests.record_kit import Lab

from bareboat.builder.blobs import make_blobs
from bareboat.builder.image import make_trees
from bareboat.builder.layers import image_tree_key
from bareboat.builder.owners import owned_files
from bareboat.cli.sizes import page
from bareboat.image.plan import Plan
from bareboat.image.planning import image_plan
from bareboat.lock import BaseImage, ImageLayer
from bareboat.verbs.sizes import sizes

BIG = bytes(range(256)) * 2048  # 512 KiB


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "home", tmp_path / "iris")


def made(lab: Lab) -> Plan:
    plan = plan_in(lab.store, {"one": {"one/same.bin": BIG, "one/libx-0a1b2c3d.so.1": BIG[:-1]},
                               "two": {"two/same.bin": BIG, "two/libx.so.2": BIG[1:] + b"more"}})
    make_trees(lab.store, plan, SOURCES, quiet)
    return plan


def test_every_byte_has_an_owner_and_a_layer(lab: Lab) -> None:
    plan = made(lab)
    found = sizes(plan, lab.work, ())
    assert sum(s.bytes for s in found.packages) == found.bytes == sum(f.size for f in owned_files(lab.store, plan))
    names = {s.package.partition(" ")[0] for s in found.packages}
    assert {"one", "two", "bareboat"} <= names and {d.name for d in plan.debs} & names
    assert {x.packed for x in found.layers} == {0}
    make_blobs(lab.store, plan, SOURCES, quiet)
    assert all(x.packed for x in sizes(plan, lab.work, ()).layers)


def test_what_is_twice(lab: Lab) -> None:
    found = sizes(made(lab), lab.work, ())
    assert [(t.what, t.how, t.extra) for t in found.twice] == [
        ("same.bin", "content", len(BIG)), ("libx", "library", len(BIG) - 1)]
    assert found.wasted == 2 * len(BIG) - 1
    text = page(found)
    assert "more than once: 1.0 MB could be spared" in text and "one 1.0: /opt/venv/" in text


def test_advice_is_for_machines_without_a_gpu(lab: Lab) -> None:
    plan = plan_in(lab.store, {"torch": {"torch/x": BIG}, "triton": {"triton/x": BIG[1:]}})
    make_trees(lab.store, plan, SOURCES, quiet)
    found = sizes(plan, lab.work, ())
    assert found.advice is not None and found.advice.packages == ("triton",) and found.advice.saves > len(BIG) - 2
    assert "this machine has no GPU" in page(found) and "torch==1.0+cpu" in page(found)
    assert sizes(plan, lab.work, ("NVIDIA H100",)).advice is None


def test_a_base_of_others_is_told_apart_by_its_lists(lab: Lab) -> None:
    digest = "sha256:" + "a" * 64
    image = BaseImage("docker.io/library/x:1", digest, 1, "m", digest, 1, (ImageLayer(digest, 7, digest, "l"),))
    record = "six.py,,\nsix-1.dist-info/METADATA,,\n../bin/six,,\n../../../../etc/stolen,,\n"
    files = {
        "var/lib/dpkg/status": b"Package: liba\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n",
        "var/lib/dpkg/info/liba:amd64.list": b"/.\n/lib/libcudart.so.12.1\n/usr/share/a\n",
        "usr/lib/libcudart.so.12.1": BIG, "usr/share/a": b"aa", "opt/other": b"ooo",
        "usr/site/six-1.dist-info/METADATA": b"Name: six\nVersion: 1\n", "usr/site/six-1.dist-info/RECORD":
        record.encode(), "usr/site/six.py": b"s", "usr/bin/six": b"b", "usr/site/bad-1.dist-info/METADATA": b"",
    }

    def fill(tree):  # type: ignore[no-untyped-def]
        for path, data in files.items():
            tree.file(path, 0o644, [data])
        tree.symlink("usr/site/bad-1.dist-info/RECORD", "/etc/passwd")

    lab.store.make_tree(image_tree_key(image), fill)
    plan = image_plan(image, "linux/amd64")
    owners = {f.path: f.package for f in owned_files(lab.store, plan)}
    assert owners["usr/lib/libcudart.so.12.1"] == owners["usr/share/a"] == "liba 1"
    assert owners["usr/site/six.py"] == owners["usr/bin/six"] == "six 1" and owners["opt/other"] == "the base"
    wheel = plan_in(lab.store, {"nvidia_runtime": {"nvidia/lib/libcudart.so.12": BIG[2:]}}).wheels
    both = replace(plan, wheels=wheel, interpreter=plan_in(lab.store, {}).interpreter)
    from bareboat.builder.wheels import make_wheel_tree

    make_wheel_tree(lab.store, wheel[0], both.interpreter)
    found = sizes(both, lab.work, ())
    assert [t.what for t in found.twice] == ["libcudart"] and found.layers[-1].packed == 7
    assert {p[0] for p in found.twice[0].places} == {"liba 1", "nvidia_runtime 1.0"}


def test_the_page_is_plain_and_the_document_is_json(lab: Lab) -> None:
    from dataclasses import asdict

    found = sizes(made(lab), lab.work, ())
    evil = replace(found, twice=(replace(found.twice[0], what="\x1b[2Jgone"),))
    assert "\x1b" not in page(evil)
    assert json.loads(json.dumps(asdict(found)))["bytes"] == found.bytes
