"""What an image has more than once, and what of it only a GPU can use. Pure: told of files and packages as found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

SMALLEST = 64 << 10  # bytes of a file that is looked at: below, there are many and they do not matter
LIBRARY_SMALLEST = 256 << 10
_HASH = re.compile(r"-[0-9a-f]{6,}")  # what auditwheel puts into the names of libraries it brings along
_GPU = re.compile(r"nvidia-(?!ml-py)|cuda-|cupy-cuda|cudf-|rmm-|jax-cuda|tensorrt|triton$|pytorch-triton|faiss-gpu|"
                  r"onnxruntime-gpu|paddlepaddle-gpu|xformers$|flash-attn$|nvshmem|libnccl|cutlass")
_PYTORCH = "https://download.pytorch.org/whl/cpu"


@dataclass(frozen=True)
class Owned:
    """A file of an image. package: who brought it, as "name version"; path: in the image; place: on this disk; digest:
    where it is known already, else ""."""

    package: str
    path: str
    size: int
    place: str
    digest: str = ""


@dataclass(frozen=True)
class Twice:
    """The same in several packages. how: "content" (files of equal bytes) or "library" (several builds of one).

    what: a file's or library's name; places: (package, path, size) of each; extra: bytes beyond the largest one.
    """

    what: str
    how: str
    places: tuple[tuple[str, str, int], ...]
    extra: int


@dataclass(frozen=True)
class Advice:
    """Packages that a machine without a GPU has no use for. saves: their bytes; write: what to write instead."""

    packages: tuple[str, ...]
    saves: int
    write: tuple[str, ...]


def same_content(files: Iterable[Owned], digest_of: Callable[[Owned], str]) -> tuple[Twice, ...]:
    """Files of equal bytes in different packages, most wasteful first. digest_of: called for few: those of one size."""
    by_size: dict[int, list[Owned]] = {}
    for file in files:
        if file.size >= SMALLEST:
            by_size.setdefault(file.size, []).append(file)
    found = []
    for size, group in by_size.items():
        if len({f.package for f in group}) < 2:
            continue
        by_digest: dict[str, list[Owned]] = {}
        for file in group:
            by_digest.setdefault(file.digest or digest_of(file), []).append(file)
        for same in by_digest.values():
            if len({f.package for f in same}) > 1:
                found.append(Twice(_name(same[0].path), "content", _places(same), size * (len(same) - 1)))
    return tuple(sorted(found, key=lambda t: (-t.extra, t.what)))


def same_library(files: Iterable[Owned], soname_of: Callable[[Owned], str],
                 known: Sequence[Twice] = ()) -> tuple[Twice, ...]:
    """Builds of one library in different packages, most wasteful first; those of equal bytes are in `known`.

    One library: the same soname but for its version and for what a wheel's maker put into it.
    """
    equal = {(package, path) for t in known for package, path, _ in t.places}
    by_name: dict[str, list[Owned]] = {}
    for file in files:
        name = _name(file.path)
        if file.size >= LIBRARY_SMALLEST and name.startswith("lib") and ".so" in name:
            stem = library(soname_of(file) or name)
            by_name.setdefault(stem, []).append(file)
    found = []
    for stem, group in by_name.items():
        if len({f.package for f in group}) > 1 and not all((f.package, f.path) in equal for f in group):
            extra = sum(f.size for f in group) - max(f.size for f in group)
            found.append(Twice(stem, "library", _places(group), extra))
    return tuple(sorted(found, key=lambda t: (-t.extra, t.what)))


def library(soname: str) -> str:
    """A library's name without its version and without hashes: "libgomp" of "libgomp-a34b3233.so.1.0.0"."""
    return _HASH.sub("", soname.partition(".so")[0])


def for_gpus(packages: Iterable[tuple[str, str, int]]) -> Advice | None:
    """Of (name, version, bytes) those that need a GPU, and what to ask for on a machine that has none."""
    table = {name: (version, size) for name, version, size in packages}
    only = sorted(name for name in table if _GPU.match(name))
    torch = [n for n in ("torch", "torchvision", "torchaudio") if n in table and "+cpu" not in table[n][0]]
    built = [n for n in torch if "+cu" in table[n][0]]
    if not only and not built:
        return None
    write = []
    if "torch" in torch:
        pins = " ".join(f"{n}=={table[n][0].partition('+')[0]}+cpu" for n in torch)
        write.append(f"PyTorch: --extra-index-url {_PYTORCH} in requirements.txt, and {pins}")
        write.append(f'PyTorch by uv: [[tool.uv.index]] name = "pytorch-cpu", url = "{_PYTORCH}", explicit = true; '
                     '[tool.uv.sources] torch = { index = "pytorch-cpu" }')
    if any(n.startswith("jax-cuda") for n in only):
        write.append("JAX: jax instead of jax[cuda12]")
    if "tensorflow" in table and any(n.startswith("nvidia-") for n in only) and "torch" not in table:
        write.append("TensorFlow: tensorflow-cpu, or tensorflow without [and-cuda]")
    write += [f"{new} instead of {old}" for old, new in
              (("onnxruntime-gpu", "onnxruntime"), ("paddlepaddle-gpu", "paddlepaddle"), ("xgboost", "xgboost-cpu"))
              if old in table and (old != "xgboost" or any(n.startswith("nvidia-nccl") for n in only))]
    write += [f"faiss-cpu instead of {n}" for n in only if n.startswith("faiss-gpu")]
    return Advice((*only, *built), sum(table[n][1] for n in only), tuple(write))


def _places(files: Iterable[Owned]) -> tuple[tuple[str, str, int], ...]:
    return tuple(sorted((f.package, f.path, f.size) for f in files))


def _name(path: str) -> str:
    return path.rpartition("/")[2]
