"""The cache: nobody else reads or changes the files in it, unless it is shared on purpose."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scythe_cli.errors import ConfigError
from scythe_cli.storage import cache, references

if TYPE_CHECKING:
    from servers import WebServer


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "deep" / "cache"
    monkeypatch.setenv("SCYTHE_CACHE_DIR", str(root))
    monkeypatch.setattr(os, "umask", os.umask)
    before = os.umask(0)
    os.umask(before)
    return root


def fill(web_server: WebServer, umask: int = 0o002) -> Path:
    """Fetch a file, with the umask of a machine where groups share."""
    web_server.pages["/x.epw"] = b"weather"
    before = os.umask(umask)
    try:
        return references.fetch(f"{web_server.url}/x.epw")
    finally:
        os.umask(before)


def test_it_is_the_users_alone(root: Path, web_server: WebServer) -> None:
    fill(web_server)
    open_to_others = [path for path in (root, *root.rglob("*")) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_one_that_was_open_is_closed(root: Path, web_server: WebServer) -> None:
    root.mkdir(parents=True)
    root.chmod(0o777)
    fill(web_server)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder away")
def test_the_folder_of_another_user_is_refused(root: Path, web_server: WebServer) -> None:
    root.mkdir(parents=True)
    os.chown(root, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to another user") as caught:
        fill(web_server)
    assert "SCYTHE_CACHE_SHARED=1" in str(caught.value.hint)


def test_a_shared_one_is_a_choice(root: Path, web_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCYTHE_CACHE_SHARED", "1")
    cache._open.cache_clear()
    path = fill(web_server)
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE(root.stat().st_mode) & 0o070 == 0o070


@pytest.mark.parametrize("mode", [0o2770, 0o2775])
def test_a_shared_one_is_shared_as_its_folder_is(
    root: Path, mode: int, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCYTHE_CACHE_SHARED", "1")
    cache._open.cache_clear()
    root.mkdir(parents=True)
    root.chmod(mode)
    file = fill(web_server, 0o077)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path != file}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {mode}
    assert {mode for path, mode in modes.items() if path.is_file()} == {mode & 0o666}
    assert {path.parent.name for path in modes if path.is_file()} == {"index", "locks", "use"}


def test_one_that_scythe_makes_is_shared_with_the_group(
    root: Path, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCYTHE_CACHE_SHARED", "1")
    cache._open.cache_clear()
    fill(web_server, 0o022)
    assert {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_dir()} == {0o2775}
    assert stat.S_IMODE(root.stat().st_mode) == 0o2775
