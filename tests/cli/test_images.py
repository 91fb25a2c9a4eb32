"""The list of images: readable in 80 columns whatever the names."""

from __future__ import annotations

import pytest

from bareboat.cli import main
from bareboat.cli.images import names_of
from bareboat.verbs import images
from bareboat.verbs.images import Image

LONG = "a-very-long.registry.example.org:5000/some/deep/group/project:2026-11-25"


@pytest.mark.parametrize(("names", "lines"), [
    ((), ["-"]),
    (("a:1", "b:1"), ["a:1, b:1"]),
    ((LONG,), [LONG, ""]),
    ((LONG, "seg:1"), [LONG, "seg:1"]),
])
def test_a_long_name_has_a_line_of_its_own(names: tuple[str, ...], lines: list[str]) -> None:
    assert names_of(names) == lines


def test_a_long_name_is_whole_and_widens_nothing(monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    pulled = Image("sha256:" + "a" * 64, (LONG,), "linux/amd64", "archive:sha256:" + "b" * 64, "", 0, 1, True)
    made = Image("sha256:" + "c" * 64, ("seg:1",), "linux/amd64", "debian:trixie", "3.13.5", 18, 20, True)
    monkeypatch.setattr(images, "images", lambda work: [pulled, made])
    assert main(["images"]) == 0
    head, name, of, other = capsys.readouterr().out.splitlines()
    assert name == LONG and all(len(line) <= 80 for line in (head, of, other))
    assert of.split() == ["a" * 12, "linux/amd64", "archive:sha256:" + "b" * 12]  # nothing is known of what is in it
    assert other.split() == ["seg:1", "c" * 12, "linux/amd64", "3.13.5", "18", "debian:trixie"]
