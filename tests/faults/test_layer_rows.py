from __future__ import annotations

import pytest
from tests.builder.test_layer_escapes import naive_extracts
from tests.faults.kit import rounds
from tests.faults.layers import layer_images

from bareboat.host.kernel import landlock_abi

landlocked = pytest.mark.skipif(landlock_abi() < 2, reason="needs Landlock, ABI 2")


def test_hostile_images_stay_inside() -> None:
    figures = layer_images(rounds(500))
    assert figures.bad == [] and figures.counts["merged"] and figures.counts["refused"]
    assert figures.counts["peak MB"] < 256


@landlocked
def test_and_the_second_wall_is_never_reached() -> None:
    figures = layer_images(rounds(250), walled=True)
    assert figures.bad == [] and figures.counts["merged"]


@landlocked
def test_the_control_is_caught() -> None:
    assert any("escaped" in line for line in layer_images(250, control=naive_extracts).bad)
