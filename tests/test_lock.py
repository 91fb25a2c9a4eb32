from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat import lock as lock_module
from bareboat.errors import LockError
from bareboat.lock import (
    Base,
    BaseImage,
    Brought,
    CPython,
    Deb,
    ImageLayer,
    Lock,
    PlatformLock,
    Wheel,
    changes,
    dumps,
    is_current,
    loads,
    request_digest,
)

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
SIZE = st.integers(0, 2**40)
DEBS = st.builds(Deb, TEXT, TEXT, TEXT, TEXT, HEX, SIZE, st.sampled_from(["main", "security"]))
WHEELS = st.builds(Wheel, TEXT, TEXT, TEXT, TEXT, HEX, SIZE, TEXT, TEXT, st.booleans())
DIGEST = HEX.map(lambda h: f"sha256:{h}")
LAYERS = st.builds(ImageLayer, DIGEST, SIZE, DIGEST, TEXT)
WORDS = st.lists(TEXT, max_size=2).map(tuple)
IMAGES = st.builds(
    BaseImage, TEXT, DIGEST, SIZE, TEXT, DIGEST, SIZE, st.lists(LAYERS, max_size=3).map(tuple),
    st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple), TEXT, WORDS, WORDS, TEXT, WORDS,
)
BASES = st.builds(
    Base, TEXT, TEXT, TEXT, st.lists(DEBS, max_size=3).map(tuple), TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.booleans(),
    st.booleans(), st.lists(st.builds(Brought, TEXT, TEXT, st.booleans()), max_size=3).map(tuple),
    st.none() | IMAGES, st.none() | st.builds(CPython, TEXT, TEXT, HEX, SIZE),
)
PLATFORMS = st.builds(PlatformLock, TEXT, BASES, st.lists(WHEELS, max_size=3).map(tuple))
LOCKS = st.builds(
    Lock,
    st.dictionaries(TEXT, HEX, max_size=3).map(lambda d: tuple(sorted(d.items()))),
    HEX,
    st.lists(PLATFORMS, max_size=2).map(tuple),
)


def example() -> Lock:
    deb = Deb("libc6", "2.41-12", "amd64", "pool/main/g/glibc/libc6_2.41-12_amd64.deb", "a" * 64, 2847368)
    wheel = Wheel(
        "six",
        "1.17.0",
        "six-1.17.0-py2.py3-none-any.whl",
        "https://files.example/six.whl",
        "b" * 64,
        11050,
        direct_url='{"url": "https://git.example/six"}',
        requested=True,
    )
    base = Base("debian", "trixie", "2026-11-14T09:45:00Z", (deb,), "3.13", "3.13.5", "glibc 2.41")
    return Lock((("requirements.txt", "c" * 64),), "d" * 64, (PlatformLock("linux/amd64", base, (wheel,)),))


@given(LOCKS)
def test_reading_what_was_written_gives_the_same_lock(lock: Lock) -> None:
    assert loads(dumps(lock)) == lock


@given(LOCKS)
def test_a_toml_parser_reads_the_same_as_the_fast_path(lock: Lock) -> None:
    from bareboat.lock_toml import read_any

    assert read_any(dumps(lock), "x") == lock


def on_an_image() -> Lock:
    lock = example()
    layer = ImageLayer("sha256:" + "1" * 64, 10, "sha256:" + "2" * 64, "application/x")
    image = BaseImage("docker.io/library/python:3.12-slim", "sha256:" + "3" * 64, 5, "m", "sha256:" + "4" * 64, 6,
                      (layer,), (("PATH", "/usr/local/bin:/bin"),), entrypoint=("/init", "-q"), removed=("usr/x",))
    base = Base("oci", image.reference, "2026-11-01T00:00:00Z", (), "3.12", "3.12.7", "glibc 2.36",
                "/usr/local/bin/python3.12", "/opt/venv", "/usr/local/lib/python3.12/site-packages",
                brought=(Brought("numpy", "1.26.4", True), Brought("pip", "24.0")), image=image)
    return replace(lock, platforms=(replace(lock.platforms[0], base=base),))


def test_an_image_is_locked_with_all_that_a_run_needs() -> None:
    text = dumps(on_an_image())
    assert text[text.index("[platforms.base]"):] == f"""[platforms.base]
family = "oci"
suite = "docker.io/library/python:3.12-slim"
date = "2026-11-01T00:00:00Z"
python = "3.12"
python_full = "3.12.7"
libc = "glibc 2.36"
executable = "/usr/local/bin/python3.12"
prefix = "/opt/venv"
site = "/usr/local/lib/python3.12/site-packages"
packages = [
]
brought = [
  {{ name = "numpy", version = "1.26.4", compiled = true }},
  {{ name = "pip", version = "24.0" }},
]

[platforms.base.image]
reference = "docker.io/library/python:3.12-slim"
manifest = "sha256:{"3" * 64}"
manifest_size = 5
media_type = "m"
config = "sha256:{"4" * 64}"
config_size = 6
layers = [
  {{ digest = "sha256:{"1" * 64}", size = 10, diff_id = "sha256:{"2" * 64}", media_type = "application/x" }},
]
env = [
  {{ name = "PATH", value = "/usr/local/bin:/bin" }},
]
entrypoint = [
  {{ word = "/init" }},
  {{ word = "-q" }},
]
removed = [
  {{ word = "usr/x" }},
]
"""


@pytest.mark.parametrize(("old", "new", "says"), [
    ("sha256:" + "1" * 64, "sha256:../../x", "platforms[0].base.image.layers[0].digest"),
    ("sha256:" + "3" * 64, "3" * 64, "platforms[0].base.image.manifest"),
    ('word = "/init"', "word = 1", "platforms[0].base.image.entrypoint[0].word: must be of type str"),
    ("manifest_size = 5", 'manifest_size = "5"', "base.image.manifest_size: must be of type int"),
    ('value = "/usr/local/bin:/bin" }', 'val = "" }', "base.image.env[0].val: unknown key"),
])
def test_a_broken_image_in_a_lock_is_refused_with_the_key(old: str, new: str, says: str) -> None:
    with pytest.raises(LockError) as e:
        loads(dumps(on_an_image()).replace(old, new))
    assert e.value.code == "lock.malformed"
    assert says in str(e.value)


def test_the_text_is_canonical_and_one_line_per_package() -> None:
    text = dumps(example())
    assert [line for line in text.splitlines() if line.startswith("  {")] == [
        '  { name = "six", version = "1.17.0", filename = "six-1.17.0-py2.py3-none-any.whl",'
        ' url = "https://files.example/six.whl", sha256 = "' + "b" * 64 + '", size = 11050,'
        """ direct_url = '{"url": "https://git.example/six"}', requested = true },""",
        '  { name = "libc6", version = "2.41-12", architecture = "amd64",'
        ' path = "pool/main/g/glibc/libc6_2.41-12_amd64.deb", sha256 = "' + "a" * 64 + '", size = 2847368 },',
    ]


def test_canonical_text_needs_no_toml_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bareboat.lock_toml", None)
    assert loads(dumps(example())) == example()
    assert loads(dumps(on_an_image())) == on_an_image()


def test_text_touched_by_hand_is_read_by_its_meaning() -> None:
    text = dumps(example()).replace("\n", "\r\n").replace("size = 11050", "size=11_050") + "# mine\n"
    assert loads(text) == example()


@pytest.mark.parametrize(
    ("old", "new", "code", "says"),
    [
        ("format = 1", "format = 2", "lock.format", "newer bareboat"),
        ('"' + "a" * 64 + '"', '"zz"', "lock.malformed", "platforms[0].base.packages[0].sha256"),
        ("size = 2847368", 'size = "1"', "lock.malformed", "packages[0].size: must be of type int"),
        ("size = 2847368", "size = true", "lock.malformed", "packages[0].size: must be of type int"),
        ('suite = "trixie"\n', "", "lock.malformed", "platforms[0].base.suite: is missing"),
        ("requested = true", "wanted = true", "lock.malformed", "wheels[0].wanted: unknown key"),
        ("[inputs]", "[inputs", "lock.malformed", "not TOML"),
        ("[inputs]", "<<<<<<< HEAD", "lock.malformed", "not TOML"),
    ],
)
def test_a_broken_lock_is_refused_with_the_key(old: str, new: str, code: str, says: str) -> None:
    with pytest.raises(LockError) as e:
        loads(dumps(example()).replace(old, new), "here.lock")
    assert (e.value.code, e.value.where) == (code, "here.lock")
    assert says in str(e.value)


@given(st.text(max_size=200))
def test_any_text_is_a_lock_or_a_lock_error(text: str) -> None:
    try:
        loads(dumps(example())[:300] + text)
    except LockError:
        pass


def test_the_fast_path_is_taken_only_when_it_is_the_whole_truth() -> None:
    """A row it would misread (an unquoted key twice) must go to the real parser, which refuses it."""
    text = dumps(example()).replace("size = 11050", "size = 1, size = 11050")
    assert lock_module._read_canonical(text) == example()  # the broken control: reading alone accepts it
    with pytest.raises(LockError):
        loads(text)


def test_what_changed_is_said_by_name() -> None:
    old = example()
    platform = old.platforms[0]
    six = platform.wheels[0]
    rich = replace(six, name="rich", version="13.7")
    base = replace(
        platform.base, python_full="3.13.6", packages=(replace(platform.base.packages[0], version="2.41-13"),)
    )
    new = replace(old, platforms=(replace(platform, base=base, wheels=(rich, replace(six, version="2.0"))),))
    assert changes(old, new) == (
        "+ rich 13.7",
        "six 1.17.0 → 2.0",
        "Python 3.13.5 → 3.13.6",
        "debian:trixie: 1 package updated (libc6)",
    )
    assert changes(new, old)[0] == "- rich"
    assert changes(old, old) == ()
    assert changes(None, old) == ("+ six 1.17.0", "+ debian:trixie with Python 3.13.5, 1 packages")


def test_another_image_behind_a_tag_is_a_change() -> None:
    old = on_an_image()
    base = old.platforms[0].base
    assert base.image is not None
    moved = replace(base, image=replace(base.image, manifest="sha256:" + "9" * 64))
    new = replace(old, platforms=(replace(old.platforms[0], base=moved),))
    assert changes(old, new) == ("docker.io/library/python:3.12-slim: another image (sha256:999999999999)",)
    assert "+ docker.io/library/python:3.12-slim with Python 3.12.7, 2 Python packages" in changes(None, old)


def test_a_further_platform_says_only_what_differs() -> None:
    old = example()
    arm = replace(old.platforms[0], platform="linux/arm64", wheels=())
    assert changes(None, replace(old, platforms=(old.platforms[0], arm))) == changes(None, old)
    assert changes(replace(old, platforms=(old.platforms[0], arm)), old) == ("- platform linux/arm64",)


def test_a_lock_is_current_for_its_inputs_and_request_alone() -> None:
    lock = example()
    assert is_current(lock, lock.inputs, lock.request)
    assert not is_current(None, lock.inputs, lock.request)
    assert not is_current(lock, (("requirements.txt", "0" * 64),), lock.request)
    assert not is_current(lock, (*lock.inputs, ("more.txt", "0" * 64)), lock.request)
    assert not is_current(lock, lock.inputs, "0" * 64)
    assert not is_current(replace(lock, platforms=()), lock.inputs, lock.request)


def test_a_request_digest_depends_on_values_and_not_on_their_order_of_writing() -> None:
    one = request_digest({"python": ">=3.11", "apt": ["git"]})
    assert one == request_digest({"apt": ("git",), "python": ">=3.11"})
    assert one != request_digest({"apt": ["git", "make"], "python": ">=3.11"})
