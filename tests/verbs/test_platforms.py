"""One name for several platforms: named, listed, found, copied, removed, kept by gc, saved and pushed."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.builder.image_factory import plan_in
from tests.image_schemas import check_index
from tests.record_kit import Lab

from bareboat.errors import StoreError, UsageError
from bareboat.record.codec import encode_bytes
from bareboat.registry.layout import LayoutRepository
from bareboat.registry.places import parse_place
from bareboat.store.gc import Policy
from bareboat.verbs.images import digest_of, find, images, name_image, plans_of, remove
from bareboat.verbs.push import push, shipment_of
from bareboat.verbs.save import Target, save

NAME = "lab/two:1"

@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "home", tmp_path / "iris")
    amd64 = plan_in(made.store, {"one": {"one/__init__.py": b"x = 1\n"}})
    rows = []
    for plan in (amd64, replace(amd64, platform="linux/arm64")):
        blob = made.store.put_blob([encode_bytes(plan)])
        made.store.put_json("plans", plan.digest, {
            "plan": plan.digest, "plan_blob": blob, "trees": [], "bytecode": [], "env": [], "workdir": "/app",
            "locks": [], "about": {"platform": plan.platform}})
        rows.append((plan.platform, plan.digest))
    made.store.tag(NAME, amd64.digest, tuple(rows))
    return made


def plans(lab: Lab) -> dict[str, str]:
    return dict(lab.store.platforms(NAME))


def test_a_name_is_this_machines_image_and_knows_the_others(lab: Lab) -> None:
    known = plans(lab)
    assert list(known) == ["linux/amd64", "linux/arm64"] and lab.store.tags() == {NAME: known["linux/amd64"]}
    assert plans_of(NAME, lab.work) == tuple(known.values())
    assert [(i.names, i.platform) for i in images(lab.work)] == [((NAME,), p) for _, p in sorted(
        (d, p) for p, d in known.items())]
    for platform, digest in known.items():
        assert digest_of(NAME, lab.work, platform) == digest
        found = find(NAME, lab.work, platform)
        assert found is not None and (found.plan, found.platform) == (digest, platform)
    with pytest.raises(UsageError) as caught:
        digest_of(NAME, lab.work, "linux/s390x")
    assert caught.value.code == "image.platform" and "linux/arm64" in caught.value.hint


def test_a_name_never_dangles(lab: Lab) -> None:
    with pytest.raises(StoreError) as caught:
        lab.store.tag("x", plans(lab)["linux/amd64"], (("linux/arm64", "sha256:" + "0" * 64),))
    assert caught.value.code == "store.no-plan" and "x" not in lab.store.tags()


def test_gc_keeps_what_a_name_stands_for_and_no_more(lab: Lab) -> None:
    lab.store.gc(Policy(older_than=0, grace=0))
    assert set(lab.store.keys("plans")) == set(plans(lab).values())
    lab.store.tag(NAME, plans(lab)["linux/amd64"])
    lab.store.close()
    lab.store.gc(Policy(older_than=0, grace=0))
    assert lab.store.keys("plans") == [lab.store.tags()[NAME]]


def test_a_copied_name_has_all_platforms_and_a_removed_one_takes_none_of_another(lab: Lab) -> None:
    known = lab.store.platforms(NAME)
    name_image("lab/copy:1", NAME, lab.work)
    assert lab.store.platforms("lab/copy:1") == known
    remove(NAME, lab.work)
    assert NAME not in lab.store.tags() and lab.store.platforms("lab/copy:1") == known
    remove(known[0][1][7:19], lab.work)  # this machine's image, by digest
    assert lab.store.tags() == {"lab/copy:1": known[1][1]} and lab.store.platforms("lab/copy:1") == ()
    remove(known[1][1][7:19], lab.work)
    assert lab.store.tags() == {} and lab.store.keys("plans") == []


def test_saved_with_an_index_that_is_valid_and_a_manifest_for_docker(lab: Lab, tmp_path: Path) -> None:
    made = save(NAME, Target.of(f"{tmp_path}/out.tar"), lab.work)
    with tarfile.open(tmp_path / "out.tar") as tar:
        names = tar.getnames()
        files = {n: tar.extractfile(n).read() for n in names if tar.getmember(n).isfile()}  # type: ignore[union-attr]
    assert len(names) == len(set(names))
    [row] = json.loads(files["index.json"])["manifests"]
    assert row["digest"] == made.manifest and row["annotations"]["org.opencontainers.image.ref.name"] == "1"
    index = json.loads(files[f"blobs/sha256/{made.manifest[7:]}"])
    check_index(json.dumps(index).encode())
    assert len(index["manifests"]) == 2
    assert [m["platform"] for m in index["manifests"]] == [
        {"architecture": a, "os": "linux"} for a in ("amd64", "arm64")]
    for m in index["manifests"]:
        inner = json.loads(files[f"blobs/sha256/{m['digest'][7:]}"])
        config = json.loads(files[f"blobs/sha256/{inner['config']['digest'][7:]}"])
        assert config["architecture"] == m["platform"]["architecture"]
        assert all(f"blobs/sha256/{x['digest'][7:]}" in files for x in inner["layers"])
    [docker] = json.loads(files["manifest.json"])
    assert docker["Config"].endswith(json.loads(files[f"blobs/sha256/{index['manifests'][0]['digest'][7:]}"])
                                     ["config"]["digest"][7:]) and docker["RepoTags"] == [NAME]
    one = save(NAME, Target.of(f"{tmp_path}/one/"), lab.work, one=True)
    assert one.manifest == index["manifests"][0]["digest"]
    assert not os.path.exists(tmp_path / "one/blobs/sha256" / index["manifests"][1]["digest"][7:])


def test_pushed_with_the_index_under_the_tag(lab: Lab, tmp_path: Path) -> None:
    pushed = push(NAME, parse_place(f"oci:{tmp_path}/there:1"), lab.work)
    content = LayoutRepository(tmp_path / "there").manifest("1")
    assert content.digest == pushed.digest == save(NAME, Target.of(f"{tmp_path}/out.tar"), lab.work).manifest
    check_index(content.data)
    alone = shipment_of(plans(lab)["linux/arm64"][7:19], lab.work)
    assert alone.index is None and alone.top.digest == json.loads(content.data)["manifests"][1]["digest"]
