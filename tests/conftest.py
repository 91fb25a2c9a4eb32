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


SERVERS = {  # who shares one is tested by one process; any other file of tests by whichever is free
    "daemons": (
        "contract/test_engine", "contract/test_life", "contract/test_repository", "live/test_archive",
        "live/test_bases", "live/test_engines", "live/test_gpu", "live/test_interop", "live/test_layers",
        "live/test_life", "live/test_mount_grammar", "live/test_save", "live/test_shipping", "live/test_travel",
        "live/test_without_linux",
    ),
    "slurm": ("contract/test_unattended", "live/test_slurm", "live/test_slurm_user"),
    "jupyter": ("live/test_notebook", "live/test_notebook_guard", "live/test_shell"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    servers = {name: server for server, names in SERVERS.items() for name in names}
    for item in items:
        name = item.path.relative_to(tests).with_suffix("").as_posix()
        item.add_marker(pytest.mark.xdist_group(servers.get(name, name)))


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
