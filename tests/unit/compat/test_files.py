"""`fetch_uri(uri, path)`: any file, to a path of the caller's."""

from pathlib import Path

import pytest

from scythe_cli import RecursionMap, S3Url, fetch_uri
from scythe_cli.errors import InputFileError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "a file.txt"
    file.write_text("new")
    return file


def test_it_copies_from_a_path_and_from_a_file_address(source: Path, tmp_path: Path) -> None:
    for number, uri in enumerate([source, str(source), source.as_uri()]):
        target = tmp_path / str(number) / "copy.txt"
        assert fetch_uri(uri, target) == target
        assert target.read_text() == "new"


def test_it_keeps_what_is_there_unless_told_otherwise(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.txt"
    target.write_text("old")
    assert fetch_uri(source.as_uri(), target).read_text() == "old"
    assert fetch_uri(source.as_uri(), target, False).read_text() == "new"


def test_a_missing_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="does not exist"):
        fetch_uri((tmp_path / "none.txt").as_uri(), tmp_path / "copy.txt")
    assert not (tmp_path / "copy.txt").exists()


def test_an_s3_address_has_the_parts_of_a_url() -> None:
    url = S3Url("s3://bucket/a folder/b.epw")
    assert (url.scheme, url.host, url.path) == ("s3", "bucket", "/a folder/b.epw")


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"factor": 1, "max_depth": 0}, {"max_depth": 0}),
        ({"factor": 1, "max_depth": 1}, {"max_depth": 0}),
        ({"factor": 2, "max_depth": 3}, {"factor": 2, "max_depth": 3}),
        ({"path": None, "factor": 10, "max_depth": 0}, {"factor": 10, "max_depth": 0}),
    ],
)
def test_the_shape_of_the_tree(given: dict[str, int], settings: dict[str, int]) -> None:
    shape = RecursionMap(**given)
    assert shape.settings() == settings
    assert set(shape.model_dump()) == {"path", "factor", "max_depth"}
    assert shape.is_root
