"""Every image that a test makes in this process is held against image-spec's schemas."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("no clock", deadline=None)  # another's load on the machine is no failure of ours
hypothesis.settings.load_profile("no clock")
sys.path.insert(0, str(Path(__file__).parents[1]))  # so that the kits beside this one are importable


@pytest.fixture(autouse=True, scope="session")
def _own_leases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leases of GPUs are the tests' own, not those of the machine's users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAREBOAT_LEASES_PATH", str(tmp_path_factory.mktemp("meeting") / "leases"))
        yield


@pytest.fixture(autouse=True, scope="session")
def _valid_images() -> Iterator[None]:
    from tests.image_schemas import check_image, check_index

    from bareboat.builder import blobs
    from bareboat.image import spec
    from bareboat.image.spec import Image

    make, index = spec.make_image, spec.platform_index

    def made(*words: Any) -> Image:
        image = make(*words)
        check_image(image.manifest, image.config)
        return image

    def over(*words: Any) -> bytes:
        data = index(*words)
        check_index(data)
        return data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs, "make_image", made)
        patch.setattr(spec, "platform_index", over)
        yield
