"""Addresses: taken apart once, and written as they were read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scythe_cli.storage.address import Address, Scheme, UnknownScheme, is_remote

BASE = Path("/base")


@pytest.mark.parametrize(
    ("text", "scheme", "host", "key"),
    [
        ("s3://bucket/a/b.epw", Scheme.S3, "bucket", "a/b.epw"),
        ("s3://bucket//a b", Scheme.S3, "bucket", "/a b"),
        ("https://host:8080/a%20b?x=1#y", Scheme.HTTPS, "host:8080", "a%20b?x=1#y"),
        ("HTTP://user:secret@host/x", Scheme.HTTP, "user:secret@host", "x"),
        ("/data/x.epw", Scheme.PATH, "", "/data/x.epw"),
        ("x/y.epw", Scheme.PATH, "", "/base/x/y.epw"),
        ("s3:/x", Scheme.PATH, "", "/base/s3:/x"),
    ],
)
def test_parts(text: str, scheme: Scheme, host: str, key: str) -> None:
    assert Address.parse(text, BASE) == Address(scheme, host, key)


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert Address.parse("~/x", BASE).path == Path("/home/ada/x")


def test_a_path_object_is_never_remote() -> None:
    assert Address.parse(Path("s3://bucket/x")).scheme is Scheme.PATH


@pytest.mark.parametrize("text", ["gs://b/x", "file://host/x", "S3://b/x", "ftp://h/x"])
def test_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(UnknownScheme, match="must be a local path, s3:// or https://"):
        Address.parse(text)
    assert not is_remote(text)


@pytest.mark.parametrize("text", ["C:\\wx\\miami.epw", "c:/wx/miami.epw"])
def test_a_path_of_windows_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UnknownScheme, match=r"is a path of Windows; in WSL write /mnt/c/wx/miami\.epw"):
        Address.parse(text)
    assert not is_remote(text)


@given(st.text(max_size=8), st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=8))
def test_an_object_address_reads_back(key: str, bucket: str) -> None:
    address = Address(Scheme.S3, bucket, key)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("s3://bucket", "s3://bucket/a/b"),
        ("s3://bucket/p/", "s3://bucket/p/a/b"),
        ("https://host", "https://host/a/b"),
        ("/data", "/data/a/b"),
    ],
)
def test_what_lies_below(text: str, below: str) -> None:
    assert str(Address.parse(text) / "a/b") == below


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://host/a/b%20c.epw?token=1/2", "b c.epw"),
        ("s3://bucket/a/b%20c.epw", "b%20c.epw"),
        ("/data/b c.epw", "b c.epw"),
        ("https://host", ""),
    ],
)
def test_the_name_of_the_file(text: str, name: str) -> None:
    assert Address.parse(text).name == name


def test_a_remote_address_has_no_path() -> None:
    with pytest.raises(ValueError, match="not a path on this machine"):
        _ = Address.parse("s3://bucket/x").path


def test_the_server_of_an_address() -> None:
    assert Address.parse("https://user:pw@Host:81/x").server == "https://user:pw@Host:81"
    assert Address.parse("https://user:pw@Host:81/x").hostname == "host"
