"""The plan's digest: everything that an image is a function of, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bareboat.image.plan import Plan
from bareboat.image.planning import image_plan
from bareboat.lock import BaseImage, ImageLayer

A, B, C, D = (f"sha256:{c * 64}" for c in "abcd")
LAYER = ImageLayer(A, 3, B, "application/vnd.oci.image.layer.v1.tar+gzip")
IMAGE = BaseImage("host.example/x:1", C, 2, "", D, 2, (LAYER,))


def plan(image: BaseImage) -> Plan:
    return image_plan(image, "linux/amd64")


@pytest.mark.parametrize("other", [
    replace(IMAGE, manifest=A), replace(IMAGE, config=A), replace(IMAGE, layers=()), replace(IMAGE, removed=("/x",)),
    replace(IMAGE, layers=(replace(LAYER, digest=D),)), replace(IMAGE, layers=(replace(LAYER, diff_id=D),)),
    replace(IMAGE, layers=(replace(LAYER, size=4),)), replace(IMAGE, env=(("A", "1"),)),
    replace(IMAGE, entrypoint=("x",)), replace(IMAGE, cmd=("x",)), replace(IMAGE, user="root"),
    replace(IMAGE, removed=("/\udcff",))])
def test_a_lock_that_says_other_layers_of_a_manifest_is_another_image(other: BaseImage) -> None:
    """Else a project of a stranger's could put its layers behind the name of an image that is here."""
    assert plan(other).digest != plan(IMAGE).digest


def test_where_it_was_found_is_not_in_it() -> None:
    assert plan(replace(IMAGE, reference="other.example/x:1")).digest == plan(IMAGE).digest
