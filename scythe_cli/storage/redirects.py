"""Where a web server may send us: a redirect is followed only to where its first server could be trusted to point.

Input: the address that answered with a redirect, and where it points. Output: nothing, or a `ValueError` with the rule.
"""

from __future__ import annotations

import ipaddress
import socket
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from scythe_cli.storage.address import Address, Scheme, UnknownScheme

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 5
"""Redirects that are followed for one file."""
_PORTS = {Scheme.HTTPS: 443, Scheme.HTTP: 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Reach(IntEnum):
    """From where an address can be reached."""

    ANYWHERE = 0
    THIS_NETWORK = 1
    THIS_LINK = 2
    THIS_MACHINE = 3


def follow(origin: str, location: str, *, allow_private: bool) -> str:
    """The address that a redirect leads to.

    Args:
        origin: the address that answered.
        location: what its answer says.
        allow_private: also from public addresses to this machine and its network.

    Raises:
        ValueError: it is not followed; the message says why.
    """
    target = urljoin(origin, location.strip())
    try:
        here, there = Address.parse(origin), Address.parse(target)
    except UnknownScheme:
        raise ValueError(f"redirects to {target[:200]}, which is not an https:// address") from None
    if not there.is_web or not there.hostname:
        raise ValueError(f"redirects to {target[:200]}, which is not an https:// address")
    if here.scheme is Scheme.HTTPS and there.scheme is Scheme.HTTP:
        raise ValueError(f"redirects from https to {target[:200]}, where anybody on the way can change the file")
    if not allow_private and here.hostname != there.hostname:
        reach = _reach(there)
        if reach is not Reach.ANYWHERE and reach is not _reach(here):
            raise ValueError(
                f"redirects to {target[:200]}, an address of {_NAMES[reach]}"
                " (where that is right, set artifacts.allow_private: true)"
            )
    return target


_NAMES = {
    Reach.THIS_NETWORK: "a private network",
    Reach.THIS_LINK: "the machine's own link, where clouds answer with credentials",
    Reach.THIS_MACHINE: "this machine",
}


def _reach(address: Address) -> Reach:
    """The narrowest reach of all the numbers that a host's name stands for; anywhere, where it stands for none."""
    try:
        found = socket.getaddrinfo(address.hostname, _PORTS[address.scheme], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Reach.ANYWHERE  # the request fails by itself
    return max((_reach_of(one) for one in _numbers(str(entry[4][0]) for entry in found)), default=Reach.ANYWHERE)


def _numbers(texts: Iterable[str]) -> Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The numbers, and those of the older protocol that some of them stand for."""
    for text in texts:
        number = ipaddress.ip_address(text.partition("%")[0])
        yield number
        if isinstance(number, ipaddress.IPv6Address):
            if number.ipv4_mapped or number.sixtofour:
                yield number.ipv4_mapped or number.sixtofour  # type: ignore[misc]  # one of them is set
            if number in _NAT64:
                yield ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)


def _reach_of(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Reach:
    if number.is_loopback or number.is_unspecified:
        return Reach.THIS_MACHINE
    if number.is_link_local or number.is_multicast:
        return Reach.THIS_LINK
    return Reach.ANYWHERE if number.is_global else Reach.THIS_NETWORK
