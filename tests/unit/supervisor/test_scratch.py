"""The temporary folder of a supervisor: private, whoever else has written to the machine's temporary folder."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from scythe_cli.core import processes
from scythe_cli.supervisor import scratch as scratch_module
from scythe_cli.supervisor.scratch import MARK, scratch, sweep

STOPPED = "999999999-1-left"
"""What the folder of a supervisor that has ended is called."""


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def home(temp: Path) -> Path:
    """The name that everybody can guess."""
    return temp / f"scythe-{os.getuid()}"


def assert_private(folder: Path) -> None:
    found = folder.parent.lstat()
    assert found.st_uid == os.getuid()
    assert stat.S_IMODE(found.st_mode) == 0o700


def test_the_shared_folder_is_private_and_goes_with_the_last(home: Path) -> None:
    with scratch() as one, scratch() as two:
        assert one.parent == two.parent == home
        assert_private(one)
    assert not home.exists()


def test_a_link_to_a_folder_of_ours_is_not_followed(home: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / STOPPED).mkdir(parents=True)
    (victim / STOPPED / MARK).touch()
    victim.chmod(0o700)
    home.symlink_to(victim)
    with scratch() as folder:
        assert victim not in folder.resolve().parents
        assert_private(folder)
    assert (victim / STOPPED).is_dir()


def test_a_link_that_leads_nowhere_is_not_followed(home: Path, tmp_path: Path) -> None:
    home.symlink_to(tmp_path / "later")
    with scratch() as folder:
        assert_private(folder)
    assert not (tmp_path / "later").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o1777])
def test_a_folder_that_others_may_enter_is_not_used(home: Path, mode: int) -> None:
    home.mkdir()
    home.chmod(mode)
    with scratch() as folder:
        assert folder.parent != home
        assert_private(folder)


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_something_else_of_the_name_does_not_stop_us(home: Path, kind: str) -> None:
    home.touch() if kind == "file" else os.mkfifo(home)
    with scratch() as folder:
        assert_private(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder away")
def test_the_folder_of_another_user_does_not_stop_us(home: Path) -> None:
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    with scratch() as folder:
        assert_private(folder)
    assert home.is_dir()


def test_what_killed_supervisors_left_goes(home: Path) -> None:
    with scratch():
        (home / STOPPED).mkdir()
        (home / STOPPED / MARK).touch()
        with scratch():
            assert not (home / STOPPED).exists()


def test_a_shared_folder_that_another_supervisor_removes_meanwhile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = scratch_module._is_private

    def removed_after(folder: Path) -> bool:
        found = looked(folder)
        folder.rmdir()
        return found

    monkeypatch.setattr(scratch_module, "_is_private", removed_after)
    with scratch() as folder:
        assert_private(folder)
        assert home not in folder.parents


def test_the_folder_of_a_living_supervisor_stays(home: Path) -> None:
    with scratch() as first, scratch():
        assert first.is_dir()
        started = round((processes.start_time(os.getpid()) or 0.0) * 100)
        assert first.name.startswith(f"{os.getpid()}-{started}-")


def test_only_what_bears_our_mark_is_swept(tmp_path: Path) -> None:
    unmarked, elsewhere = tmp_path / STOPPED, tmp_path / "elsewhere"
    unmarked.mkdir()
    elsewhere.mkdir()
    (elsewhere / MARK).touch()
    link = tmp_path / "999999999-1-link"
    link.symlink_to(elsewhere)
    sweep(tmp_path)
    assert unmarked.is_dir()
    assert (elsewhere / MARK).is_file()
    assert link.is_symlink()
