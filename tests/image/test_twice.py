"""What is there twice, and what only a GPU can use."""

from __future__ import annotations

import pytest

from bareboat.image.twice import Owned, Twice, for_gpus, library, same_content, same_library

MB = 1 << 20


def own(package: str, path: str, size: int, digest: str = "") -> Owned:
    return Owned(package, path, size, f"/disk/{path}", digest)


def test_equal_bytes_of_different_packages() -> None:
    asked: list[str] = []

    def digest_of(file: Owned) -> str:
        asked.append(file.path)
        return "d1" if "same" in file.path else file.path

    files = [own("a 1", "a/same.bin", MB), own("b 1", "b/same.bin", MB, "d1"), own("b 1", "b/other.bin", MB),
             own("a 1", "alone.bin", 2 * MB), own("a 1", "small/same", 9), own("b 1", "small2/same", 9),
             own("c 1", "c/1", 3 * MB), own("c 1", "c/2", 3 * MB)]
    assert same_content(files, digest_of) == (
        Twice("same.bin", "content", (("a 1", "a/same.bin", MB), ("b 1", "b/same.bin", MB)), MB),)
    assert asked == ["a/same.bin", "b/other.bin"]  # nothing else can be equal, and what is known is not asked


def test_builds_of_one_library() -> None:
    files = [own("base 1", "usr/local/cuda/lib64/libcudart.so.12.3.52", 2 * MB),
             own("nvidia-cuda-runtime-cu12 12.4", "site/nvidia/cuda_runtime/lib/libcudart.so.12", MB),
             own("x 1", "x.libs/libgomp-a34b3233.so.1.0.0", MB), own("y 1", "y.libs/libgomp-24e2ab19.so.1", 2 * MB),
             own("x 1", "x/core.so", MB), own("y 1", "y/core.so", MB),
             own("x 1", "libtiny.so", 10), own("y 1", "libtiny.so", 10)]
    found = same_library(files, lambda f: "libcudart.so.12" if "cudart" in f.path else "")
    assert [(t.what, t.extra) for t in found] == [("libcudart", MB), ("libgomp", MB)]
    equal = Twice("libgomp", "content", tuple((f.package, f.path, f.size) for f in files[2:4]), MB)
    assert [t.what for t in same_library(files, lambda f: "", (equal,))] == ["libcudart"]


@pytest.mark.parametrize(("soname", "name"), [
    ("libgomp-a34b3233.so.1.0.0", "libgomp"), ("libcudart.so.12", "libcudart"), ("libcublasLt.so.12", "libcublasLt"),
    ("libscipy_openblas64_-56d6093b.so", "libscipy_openblas64_"), ("libstdc++.so.6", "libstdc++"),
    ("libfoo-2.so", "libfoo-2"), ("", "")])
def test_a_library_without_version_and_hash(soname: str, name: str) -> None:
    assert library(soname) == name


def test_pytorch_brings_what_needs_a_gpu() -> None:
    advice = for_gpus([("torch", "2.5.1", 900), ("torchvision", "0.20.1", 8), ("nvidia-cublas-cu12", "12.4", 500),
                       ("triton", "3.1", 200), ("numpy", "2.1", 60), ("nvidia-ml-py", "12", 1)])
    assert advice is not None
    assert (advice.packages, advice.saves) == (("nvidia-cublas-cu12", "triton"), 700)
    assert "torch==2.5.1+cpu torchvision==0.20.1+cpu" in advice.write[0] and "whl/cpu" in advice.write[0]


@pytest.mark.parametrize(("packages", "word"), [
    ([("torch", "2.4.0+cu121", 2000)], "torch==2.4.0+cpu"),
    ([("jax", "0.4", 1), ("jax-cuda12-plugin", "0.4", 90)], "jax instead of"),
    ([("tensorflow", "2.18", 600), ("nvidia-cudnn-cu12", "9", 700)], "tensorflow-cpu"),
    ([("onnxruntime-gpu", "1.20", 300)], "onnxruntime instead of"),
    ([("xgboost", "2.1", 300), ("nvidia-nccl-cu12", "2.2", 200)], "xgboost-cpu")])
def test_what_to_write_instead(packages: list[tuple[str, str, int]], word: str) -> None:
    advice = for_gpus(packages)
    assert advice is not None and any(word in line for line in advice.write)


@pytest.mark.parametrize("packages", [
    [], [("numpy", "2", 1)], [("torch", "2.4.0+cpu", 700)], [("xgboost-cpu", "2", 3)], [("nvidia-ml-py", "1", 1)],
    [("torch", "2.9", 300)]])  # of an index of CPU builds that has no local versions
def test_nothing_to_say(packages: list[tuple[str, str, int]]) -> None:
    assert for_gpus(packages) is None
