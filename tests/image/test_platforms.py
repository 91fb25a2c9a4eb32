"""Platforms as people write them."""

from __future__ import annotations

import pytest

from bareboat.errors import UsageError
from bareboat.image.platforms import parse_platform, parse_platforms, same_machine


@pytest.mark.parametrize(("text", "meant"), [
    ("linux/amd64", "linux/amd64"), ("amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"),
    ("aarch64", "linux/arm64"), ("linux/arm64/v8", "linux/arm64"), ("Linux/ARM64", "linux/arm64"),
    ("linux/amd64/v1", "linux/amd64"), ("linux/amd64/v3", "linux/amd64/v3"), ("linux/arm/v7", "linux/arm/v7"),
    (" linux/s390x ", "linux/s390x"),
])
def test_one_platform(text: str, meant: str) -> None:
    assert parse_platform(text) == meant == parse_platform(meant)


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/arm64", "windows/amd64", "linux/vax", "linux/arm64/8",
                                  "linux/arm64/v8/x", "linux/arm64/v", "linux/amd64 linux/arm64", "../arm64"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_platform(text)
    assert caught.value.code == "usage.platform"


def test_several_each_once_and_only_what_environments_are_made_for() -> None:
    assert parse_platforms(["linux/arm64,amd64", "linux/arm64/v8"]) == (
        "linux/arm64", "linux/amd64")
    assert parse_platforms([]) == ()
    for words in (["linux/amd64,"], ["linux/riscv64"], ["linux/amd64/v3"]):
        with pytest.raises(UsageError) as caught:
            parse_platforms(words)
        assert caught.value.code == "usage.platform"


def test_a_variant_is_of_the_same_machine() -> None:
    assert same_machine("linux/arm/v7", "linux/arm") and not same_machine("linux/arm", "linux/arm64")
