"""File operations by the helper, and a helper that lies."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bareboat.errors import BareboatError
from bareboat.sessions.ssh import helper as helpers
from bareboat.sessions.ssh.helper import Helper
from bareboat.sessions.ssh.local import LocalInside


def over(home: Path, call: Callable[[Helper], Awaitable[object]], **env: str) -> object:
    """Something done with a helper of its own."""

    async def go() -> object:
        helper = await Helper.start(LocalInside(home, tuple(env.items())))
        try:
            return await call(helper)
        finally:
            await helper.close()

    return asyncio.run(go())


def refused(home: Path, *words: object, data: bytes = b"") -> int:
    """The error number of an operation that must fail."""
    with pytest.raises(OSError) as error:
        over(home, lambda helper: helper.ask(*words, data=data))  # type: ignore[arg-type]
    return error.value.errno or 0


def test_files_are_read_and_written_where_it_was_asked_for(tmp_path: Path) -> None:
    async def go(helper: Helper) -> bytes:
        (number,) = await helper.ask("open", "x", os.O_RDWR | os.O_CREAT, 0o640)  # type: ignore[misc]
        await asyncio.gather(*(helper.ask("write", number, at, data=b"%d" % at) for at in range(10)))
        await helper.ask("setstat", number, True, [None, None, None, 0o600, 1_000_000_007, 2_000_000_009])
        found = await helper.read(number, 3, 4)
        assert await helper.read(number, 100, 4) == b""
        await helper.ask("close", number)
        return found

    assert over(tmp_path, go) == b"3456"
    status = (tmp_path / "x").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o600, 2_000_000_009)


def test_names_that_are_no_text_go_through_and_back(tmp_path: Path) -> None:
    name = b"\xff\n\x01 \xc3\xa9"
    (tmp_path / os.fsdecode(name)).touch()

    async def go(helper: Helper) -> list[str]:
        (number,) = await helper.ask("list", ".")  # type: ignore[misc]
        found = await helper.ask("next_names", number)
        assert await helper.ask("next_names", number) == []
        await helper.ask("close", number)
        return [row[0] for row in found]  # type: ignore[attr-defined]

    assert over(tmp_path, go) == [".", "..", os.fsdecode(name)]


def test_what_cannot_be_is_the_system_s_own_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path, "stat", "missing") == errno.ENOENT
    assert refused(tmp_path, "rename", "a", "b", False) == errno.EEXIST
    assert refused(tmp_path, "mkdir", "a", 0o777) == errno.EEXIST
    assert refused(tmp_path, "open", ".", os.O_RDONLY, 0) == errno.EISDIR
    assert refused(tmp_path, "open", "pipe", os.O_RDONLY, 0) == errno.EINVAL
    assert refused(tmp_path, "open", "a\0b", os.O_RDONLY, 0) == errno.EINVAL
    assert refused(tmp_path, "read", 77, 0, 1) == errno.EBADF
    assert refused(tmp_path, "close", 77) == errno.EBADF
    assert refused(tmp_path, "stat") == errno.EINVAL
    for name in ("_keep", "__init__", "nothing"):
        assert refused(tmp_path, name) == errno.ENOSYS
    assert (tmp_path / "b").read_text() == "b"


def test_too_many_open_files_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def go(helper: Helper) -> object:
        asked = [helper.ask("list", ".") for _ in range(1001)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        wrong = [e for e in found if isinstance(e, OSError)]
        assert [e.errno for e in wrong] == [errno.EMFILE]
        return await helper.ask("realpath", ".")

    assert over(tmp_path, go) == [os.path.realpath(tmp_path)]


def lying(tmp_path: Path, text: str) -> dict[str, str]:
    """A PATH whose python3 says what it is told to."""
    file = tmp_path / "bin/python3"
    file.parent.mkdir()
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return {"PATH": f"{file.parent}:/usr/bin:/bin"}


@pytest.mark.parametrize("said", [
    r"\000\000\000\377\377\377\377\377",  # more than may come
    r"\377\377\377\377\000\000\000\000",
    r"\000\000\000\004\000\000\000\000nope",  # no JSON
    r"\000\000\000\002\000\000\000\00042",  # no answer
    r"\000\000\000\011\000\000\000\000[\"error\"]",
    r"\000\000\000\006\000\000\000\000[\"ok\"]\000\000\000\006\000\000\000\000[\"ok\"]",  # one too many
    "",  # the end
])
def test_a_helper_that_lies_ends_its_channel(tmp_path: Path, said: str) -> None:
    env = lying(tmp_path, f"printf 'bareboat files 1\\n'; read -r x; printf '{said}'; exec cat >/dev/null"
                if said else "printf 'bareboat files 1\\n'; read -r x; exit 3")

    async def go(helper: Helper) -> None:
        # no request has a newline in it but the second's data: that is what its `read` waits for
        first = asyncio.ensure_future(helper.ask("stat", "a\n"))
        second = asyncio.ensure_future(helper.ask("write", 1, 0, data=b"\n"))
        found = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(found[1], OSError) or found[1] is None
        with pytest.raises(OSError):
            await helper.ask("stat", ".")

    over(tmp_path, go, **env)


def test_an_image_without_python_says_so(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helpers.scripts, "FIND", helpers.scripts.FIND.replace("/usr/bin/python3 /usr/local/bin/python3",
                                                                           ""))
        with pytest.raises(BareboatError) as error:
            over(tmp_path, lambda helper: helper.ask("stat", "."), PATH=str(tmp_path / "bin"))
    assert error.value.code == "ssh.python"
    assert "the image has none" in error.value.what


def test_what_python_says_when_it_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(BareboatError) as error:
        over(tmp_path, lambda helper: helper.ask("stat", "."), **lying(tmp_path, "echo it is broken >&2; exit 1"))
    assert "it is broken" in error.value.what
