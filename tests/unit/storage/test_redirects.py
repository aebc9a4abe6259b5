"""Where a redirect may lead."""

from __future__ import annotations

import socket

import pytest

from scythe_cli.storage.redirects import follow

PUBLIC = {"public.test": "93.184.216.34", "other.test": "151.101.1.140", "intranet.test": "10.1.2.3"}
INSIDE = {"rebound.test": "127.0.0.1", "cloud.test": "169.254.169.254"}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that need no network."""
    ask = socket.getaddrinfo

    def known(host: str, *args: int, **kwargs: int) -> list[tuple[object, ...]]:
        return list(ask({**PUBLIC, **INSIDE}.get(host, host), *args, **kwargs))

    monkeypatch.setattr(socket, "getaddrinfo", known)


@pytest.mark.parametrize(
    ("origin", "location", "target"),
    [
        ("https://public.test/a", "/b", "https://public.test/b"),
        ("https://public.test/a/b", "c?x=1", "https://public.test/a/c?x=1"),
        ("https://public.test/a", "https://other.test/b", "https://other.test/b"),
        ("http://public.test/a", "https://other.test/b", "https://other.test/b"),
        ("http://127.0.0.1:8000/a", "http://localhost:9000/b", "http://localhost:9000/b"),
        ("http://intranet.test/a", "http://10.9.9.9/b", "http://10.9.9.9/b"),
        ("http://intranet.test/a", "https://public.test/b", "https://public.test/b"),
    ],
)
def test_is_followed(origin: str, location: str, target: str) -> None:
    assert follow(origin, location, allow_private=False) == target


@pytest.mark.parametrize("origin", ["https://public.test/a", "http://intranet.test/a"])
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]"),
        *(
            "169.254.169.254",
            "[fe80::1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "rebound.test",
            "cloud.test",
            "rebound.test.",
        ),
    ],
)
def test_what_only_this_machine_reaches_is_not(origin: str, host: str) -> None:
    scheme = origin.partition(":")[0]
    if host.endswith("."):
        PUBLIC[host] = "127.0.0.1"
    with pytest.raises(ValueError, match=r"allow_private: true"):
        follow(origin, f"{scheme}://{host}/latest/meta-data", allow_private=False)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "[fd00::1]", "intranet.test"])
def test_what_only_this_network_reaches_is_not_from_a_public_server(host: str) -> None:
    with pytest.raises(ValueError, match=r"an address of a private network"):
        follow("https://public.test/a", f"https://{host}/", allow_private=False)


def test_where_the_file_allows_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    target = "https://10.0.0.1/"
    assert follow("https://public.test/a", target, allow_private=True) == target


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    "location",
    ["http://public.test/b", "file:///etc/passwd", "ftp://other.test/x", "s3://bucket/x", "gopher:x"],
)
def test_a_weaker_or_foreign_scheme_is_never(location: str, allowed: bool) -> None:
    with pytest.raises(ValueError, match="redirects"):
        follow("https://public.test/a", location, allow_private=allowed)
