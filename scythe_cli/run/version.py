"""Versions of an experiment: three numbers, ordered as numbers."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import total_ordering
from typing import Literal

from scythe_cli.errors import ConfigError

Bump = Literal["major", "minor", "patch", "keep"]
PATTERN = re.compile(r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_SHORTER = re.compile(r"v(0|[1-9]\d*)(?:[.-](0|[1-9]\d*))?(?:[.-](0|[1-9]\d*))?")
"""What scythe-engine reads as a version too: v1, v1.2, v1-2-3."""


@total_ordering
@dataclass(frozen=True)
class SemVer:
    """A version, ordered as numbers: v1.10.0 comes after v1.9.0."""

    major: int = 1
    minor: int = 0
    patch: int = 0

    @classmethod
    def FromString(cls, text: str) -> SemVer:  # noqa: N802 - the name that users of the original know
        """Read "v1.2.3" or "1.2.3"; also "v1", "v1.2" and "v1-2-3". Raises `ConfigError`."""
        found = PATTERN.fullmatch(text) or _SHORTER.fullmatch(text)
        if found is None:
            raise ConfigError(f"{text!r} is not a version: write three numbers, as in v1.2.3")
        return cls(*(int(number or 0) for number in found.groups()))

    def model_dump(self, **_: object) -> dict[str, int]:
        """The three numbers by name, as a pydantic model gives them."""
        return asdict(self)

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}"

    def __lt__(self, other: SemVer) -> bool:
        return (self.major, self.minor, self.patch) < (other.major, other.minor, other.patch)

    def next_major_version(self) -> SemVer:
        """v1.2.3 -> v2.0.0."""
        return SemVer(self.major + 1, 0, 0)

    def next_minor_version(self) -> SemVer:
        """v1.2.3 -> v1.3.0."""
        return SemVer(self.major, self.minor + 1, 0)

    def next_patch_version(self) -> SemVer:
        """v1.2.3 -> v1.2.4."""
        return SemVer(self.major, self.minor, self.patch + 1)

    def bumped(self, bump: Bump) -> SemVer:
        """The version after this one."""
        match bump:
            case "major":
                return self.next_major_version()
            case "minor":
                return self.next_minor_version()
            case "patch":
                return self.next_patch_version()
            case "keep":
                return self
