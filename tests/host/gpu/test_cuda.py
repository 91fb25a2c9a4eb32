"""Drivers against the CUDA that environments and images ask for."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bareboat.errors import EngineError
from bareboat.host.gpu.cuda import Need, check, needs, require

TOOLKIT = "cuda>=12.4 brand=tesla,driver>=470,driver<471 brand=unknown,driver>=535,driver<536"


@pytest.mark.parametrize(("packages", "cuda"), [
    ([("numpy", "2.0"), ("torch", "2.5.1")], None),
    ([("torch", "2.5.1+cpu")], None),
    ([("nvidia-cuda-runtime-cu12", "12.4.127"), ("torch", "2.5.1")], (12, 4)),
    ([("nvidia-cuda-runtime", "13.0.48")], (13, 0)),
    ([("torch", "2.5.1+cu124"), ("torchvision", "0.20+cu121")], (12, 4)),
    ([("torch", "1.13.1+cu117")], (11, 7)),
    ([("jax-cuda12-plugin", "0.4.35")], (12, -1)),
    ([("cupy-cuda11x", "13.3")], (11, -1)),
    ([("nvidia-cuda-runtime-cu12", "weird")], None),
])
def test_what_a_lock_was_made_for(packages: list[tuple[str, str]], cuda: tuple[int, int] | None) -> None:
    found = needs(packages)
    assert (found and found.cuda) == cuda


def test_a_driver_that_is_too_old_is_refused_with_all_versions_named() -> None:
    with pytest.raises(EngineError) as caught:
        check(Need((12, 4), "torch 2.5.1+cu124"), "470.161.03", (11, 4))
    assert caught.value.code == "gpu.driver-old"
    assert caught.value.what == ("driver 470.161.03 has CUDA 11.4, and this environment needs "
                                 "CUDA 12.4 (torch 2.5.1+cu124)")
    assert "525.60.13" in caught.value.hint and "cu114" in caught.value.hint
    assert check(Need((12, 4), "x"), "550.54.14", (12, 4)) == check(Need((11, 8), "x"), "550.54.14", (12, 4)) == ""
    assert check(Need((12, -1), "x"), "530.30.02", (12, 1)) == ""
    assert "PTX" in check(Need((12, 4), "x"), "530.30.02", (12, 1))


@pytest.mark.parametrize(("text", "driver", "cuda", "holds"), [
    ("", "1.0", (1, 0), True),
    (TOOLKIT, "550.54.14", (12, 4), True),
    (TOOLKIT, "470.161.03", (11, 4), True),  # brands are not known here, so they hold
    (TOOLKIT, "520.61.05", (11, 8), False),
    (TOOLKIT, "535.104.05", (12, 2), True),
    ("cuda>=12.10", "x", (12, 9), False),
    ("cuda>11 driver!=525", "525.60", (11, 0), False),
    ("driver=525", "525.60.13", (12, 0), True),
    ("cuda<=12.4,driver>=550.54.14", "550.54.13", (12, 4), False),
    ("arch>=9.0", "1", (1, 0), True),
])
def test_what_an_image_requires(text: str, driver: str, cuda: tuple[int, int], holds: bool) -> None:
    if holds:
        require(text, {}, driver, cuda)
        return
    with pytest.raises(EngineError) as caught:
        require(text, {}, driver, cuda)
    assert caught.value.code == "gpu.image-requires" and driver in caught.value.what
    require(text, {"NVIDIA_DISABLE_REQUIRE": "1"}, driver, cuda)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.sampled_from("cudarive<>=!.,0129 b"), max_size=40), st.text(max_size=10))
def test_any_text_is_decided(text: str, driver: str) -> None:
    try:
        require(text, {}, driver, (12, 4))
    except EngineError as e:
        assert e.code == "gpu.image-requires"
    needs([(text, driver)])
