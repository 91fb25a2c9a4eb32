"""One table of settings; every value with its source."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bareboat.settings import Settings, SettingsError, load, rows, user_file

ME = os.getuid()  # the administrator of these files


def settings(tmp_path: Path, user: str = "", system: str = "", **environ: str) -> Settings:
    home = tmp_path / "home"
    file = home / ".config/bareboat/settings.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    if user:
        file.write_text(user)
    etc = tmp_path / "etc.toml"
    if system:
        etc.write_text(system)
    return load({"HOME": str(home), **environ}, system_file=etc, administrator=ME)


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert found.home == tmp_path / "home/.local/share/bareboat"
    assert found.engine == "bubblewrap" and not found.offline and found.debian_mirror is None
    assert {source for _, _, source in found.table()} == {"default"}
    assert not list((tmp_path / "home").glob(".local")), "reading settings makes nothing"


def test_the_sources_win_in_order(tmp_path: Path) -> None:
    user, system = 'jobs = 2\nscratch = "disk"', 'jobs = 1\nscratch = "tmpfs"\nindex-max-age = 5'
    found = settings(tmp_path, user, system, BAREBOAT_JOBS="3")
    assert (found.jobs, found.scratch, found.index_max_age) == (3, "disk", 5.0)
    assert found.source("jobs") == "BAREBOAT_JOBS"
    assert found.source("scratch").endswith(".config/bareboat/settings.toml")
    assert found.source("index-max-age") == str(tmp_path / "etc.toml")
    given_ = load({"HOME": str(tmp_path / "home"), "BAREBOAT_JOBS": "3"}, {"jobs": "4"}, tmp_path / "none")
    assert (given_.jobs, given_.source("jobs")) == (4, "command line")


def test_tables_and_dotted_names_are_the_same(tmp_path: Path) -> None:
    found = settings(
        tmp_path, '[debian]\nmirror = "https://mirror.example/debian/"\ncheck-valid-until = false\n'
    )
    assert found.debian_mirror == "https://mirror.example/debian" and not found.debian_check_valid_until


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("job = 1", "settings.unknown", "'jobs'"),
        ('[debian]\nmiror = "https://a.example"', "settings.unknown", "'debian.mirror'"),
        ("[nothing]\nat = 1", "settings.unknown", "Settings are"),
        ("debian = 1", "settings.unknown", ""),
        ("jobs = true", "settings.value", "whole number"),
        ("jobs = 0", "settings.value", "whole number"),
        ('jobs = "4"', "settings.value", "whole number"),
        ("offline = 1", "settings.value", "true or false"),
        ('home = "relative"', "settings.value", "absolute path"),
        ('scratch = "ram"', "settings.value", "tmpfs or disk"),
        ('shm-size = "8x"', "settings.value", "8g"),
        ("index-max-age = nan", "settings.value", "seconds"),
        ("index-max-age = -1", "settings.value", "seconds"),
        ('debian.mirror = "mirror.example"', "settings.value", "https://"),
        ("jobs = ", "settings.toml", ""),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_the_file(
    tmp_path: Path, text: str, code: str, words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, text)
    assert caught.value.code == code
    assert "settings.toml" in caught.value.where and words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BAREBOAT_JOBS", "many"),
        ("BAREBOAT_OFFLINE", "perhaps"),
        ("BAREBOAT_SHM_SIZE", "-1"),
        ("BAREBOAT_INDEX_MAX_AGE", "inf"),
    ],
)
def test_what_is_wrong_in_a_variable_is_said_with_the_variable(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, **{name: value})
    assert caught.value.code == "settings.value" and caught.value.where == name


def test_variables_that_look_like_a_slip_are_noted_and_others_left_alone(tmp_path: Path) -> None:
    found = settings(tmp_path, BAREBOAT_HOEM="/x", BAREBOAT_ZZ_QQ="1")
    assert found.notes == ("BAREBOAT_HOEM is not a setting; did you mean BAREBOAT_HOME?",)


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert settings(tmp_path, BAREBOAT_JOBS="").jobs is None


def test_xdg_directories_count_when_absolute(tmp_path: Path) -> None:
    assert load({"HOME": "/h", "XDG_DATA_HOME": "/d"}, system_file=tmp_path / "n").home == Path("/d/bareboat")
    assert load({"HOME": "/h", "XDG_DATA_HOME": "d"}, system_file=tmp_path / "n").home == Path(
        "/h/.local/share/bareboat"
    )
    assert user_file({"HOME": "/h", "XDG_CONFIG_HOME": "c"}) == Path("/h/.config/bareboat/settings.toml")


def test_without_home_the_password_database_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pwd

    entry = pwd.getpwuid(os.getuid())
    assert load({}, system_file=tmp_path / "n").home == Path(entry.pw_dir, ".local/share/bareboat")

    def nobody(uid: int) -> object:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(SettingsError) as caught:
        load({}, system_file=tmp_path / "n")
    assert caught.value.code == "settings.home" and "BAREBOAT_HOME" in caught.value.hint
    assert load({"BAREBOAT_HOME": "/s"}, system_file=tmp_path / "n").home == Path("/s")


def test_a_relative_home_from_the_shell_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings(tmp_path, BAREBOAT_HOME="store").home == tmp_path / "store"


def test_the_table_and_the_fields_are_one() -> None:
    assert [attribute for attribute, _ in rows().values()] == [f.name for f in fields(Settings)][:-3]
    assert all(
        name.replace(".", "_").replace("-", "_") == attribute for name, (attribute, _) in rows().items()
    )


def test_without_settings_files_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from bareboat.settings import load; from pathlib import Path; "
        f"load({{'HOME': {str(tmp_path)!r}}}, system_file=Path({str(tmp_path / 'n')!r})); "
        "sys.exit(any(m in sys.modules for m in ('tomllib', 'tomli', 'difflib', 'packaging', 'argparse')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.binary(max_size=60))
def test_any_file_gives_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any-settings.toml"
    file.write_bytes(content)
    try:
        load({"HOME": "/nowhere"}, system_file=file, administrator=ME)
    except SettingsError:
        pass


@given(st.sampled_from(sorted(rows())), st.text(max_size=10).filter(lambda t: "\0" not in t))
def test_any_text_on_the_command_line_is_a_value_or_a_settings_error(name: str, text: str) -> None:
    try:
        load({"HOME": "/nowhere"}, {name: text}, Path("/nowhere/etc"))
    except SettingsError as wrong:
        assert wrong.code in ("settings.value", "settings.home", "settings.administrator")


FIXED = 'jobs = 2\nfixed = ["jobs", "debian", "scratch"]\n[debian]\nmirror = "https://lab.example/debian"\n'


def test_what_is_fixed_comes_from_the_administrators_file_alone(tmp_path: Path) -> None:
    user = 'jobs = 9\nscratch = "disk"\nkeep-archives = true\n[debian]\nmirror = "https://lab.example/debian"\n'
    found = settings(tmp_path, user, FIXED, BAREBOAT_JOBS="8", BAREBOAT_DEBIAN_KEYRING="/k")
    assert (found.jobs, found.scratch, found.keep_archives, found.debian_keyring) == (2, "tmpfs", True, None)
    assert {"jobs", "scratch", "debian.mirror", "debian.keyring"} <= set(found.fixed)
    about = [note.split(" ")[0] for note in found.notes]
    assert about == ["BAREBOAT_JOBS", "BAREBOAT_DEBIAN_KEYRING", "jobs", "scratch"], "the same value is no quarrel"
    assert all(str(tmp_path / "etc.toml") in note for note in found.notes)
    assert not settings(tmp_path / "other", "", FIXED, BAREBOAT_JOBS="2").notes


def test_a_command_line_that_says_otherwise_is_refused(tmp_path: Path) -> None:
    found = settings(tmp_path, system=FIXED)
    assert found.override(jobs=2, offline=True).offline and found.override(jobs=None).jobs == 2
    assert found.override(offline=True).source("offline") == "command line"
    for said in ({"jobs": 3}, {"scratch": "disk"}):
        with pytest.raises(SettingsError) as caught:
            found.override(**said)
        assert caught.value.code == "settings.fixed"
    for name, text in (("jobs", "3"), ("scratch", "disk")):
        with pytest.raises(SettingsError) as caught:
            load({"HOME": "/h"}, {name: text}, tmp_path / "etc.toml", ME)
        assert caught.value.code == "settings.fixed" and caught.value.where == str(tmp_path / "etc.toml")
    assert load({"HOME": "/h"}, {"jobs": "2"}, tmp_path / "etc.toml", ME).jobs == 2


def test_limits_are_the_administrators(tmp_path: Path) -> None:
    found = settings(tmp_path, system='[limits]\nmemory = "8g"\ncpus = 4\ngpus = 0\nmax-time = "1h30m"\n')
    assert (found.limits_memory, found.limits_cpus, found.limits_gpus) == (8 << 30, 4.0, 0)
    assert found.limits_max_time == 5400 and found.limited and not settings(tmp_path / "other").limited
    for said in ({"user": 'limits.memory = "1t"'}, {"BAREBOAT_LIMITS_MEMORY": "1t"}):
        with pytest.raises(SettingsError) as caught:
            settings(tmp_path, **said)
        assert caught.value.code == "settings.administrator"


@pytest.mark.parametrize("text", ['fixed = ["jbos"]', 'fixed = "jobs"', "fixed = [1]", "[limits]\ncpus = 0",
                                  "[limits]\ngpus = -1", '[limits]\nmax-time = "soon"'])
def test_what_is_wrong_in_the_administrators_file_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, system=text)
    assert caught.value.code in ("settings.unknown", "settings.value") and "etc.toml" in caught.value.where


def test_an_administrators_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folder, file = tmp_path / "etc", tmp_path / "etc/settings.toml"
    folder.mkdir(0o755)
    file.write_text("jobs = 2")
    file.chmod(0o644)

    def code() -> str:
        try:
            assert load({"HOME": "/h"}, None, file, ME).jobs == 2
        except SettingsError as error:
            return error.code
        return ""

    assert code() == ""
    for path, mode in ((file, 0o664), (file, 0o646), (folder, 0o775), (folder, 0o777)):
        before = path.stat().st_mode
        path.chmod(mode)
        assert code() == "settings.untrusted"
        path.chmod(before)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o777)
    elsewhere.chmod(0o777)
    file.rename(elsewhere / "settings.toml")
    file.symlink_to(elsewhere / "settings.toml")
    assert code() == "settings.untrusted", "what a link leads to counts"
    file.unlink()
    assert load({"HOME": "/h"}, None, file, ME).jobs is None


def test_an_administrators_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("jobs = 2")
    with pytest.raises(SettingsError) as caught:
        load({"HOME": "/h"}, None, file, ME + 1)
    assert caught.value.code == "settings.untrusted" and f"chown {ME + 1}" in caught.value.hint
