"""How a worker serves, as its flags and `SCYTHE_WORKER_*` say.

Input: environment variables. Output: `WorkerSettings`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scythe_cli.core.machine import machine_name
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal["fan", "leaf"]
DURABLE_SLOTS = 100
"""Roots that one worker may follow."""
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker serves.

    Attributes:
        name: of the worker; the machine's unless given.
        slots: lanes; the cores of the machine unless given.
        durable_slots: roots it may follow at a time.
        labels: what leaves may ask for.
        roles: fan follows runs and fans them out, leaf runs specs.
        storage: where runs live; the experiment file's or the environment's unless given.
        any_code: take leaves of runs whose code differs.
        embedded: start the SDK's own engine first.
        workflows: Hatchet workflows to serve that are not experiments.
        workflow_labels: labels for the user's own workflows; `labels` unless given.
    """

    name: str | None = None
    slots: int | None = None
    durable_slots: int = DURABLE_SLOTS
    labels: Mapping[str, str] | None = None
    roles: frozenset[Role] = frozenset({"fan", "leaf"})
    storage: str | None = None
    any_code: bool = False
    embedded: bool = False
    workflows: tuple[Any, ...] = ()
    workflow_labels: Mapping[str, str] | None = None

    @property
    def name_or_machine(self) -> str:
        """What the worker is called."""
        return self.name or machine_name()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> WorkerSettings:
        """What `SCYTHE_WORKER_*` says. Raises `ConfigError`."""
        own = variables(environ)
        flags = {key.lower(): _flag(key, own[key]) for key in ("HIGH_MEMORY", "HIGH_CPU", "HAS_GPU") if key in own}
        kept = roles(
            fan=_flag("DOES_FAN", own.get("DOES_FAN", "true")), leaf=_flag("DOES_LEAF", own.get("DOES_LEAF", "true"))
        )
        return cls(
            name=own.get("NAME"),
            slots=_count("SLOTS", own["SLOTS"]) if "SLOTS" in own else None,
            durable_slots=_count("DURABLE_SLOTS", own.get("DURABLE_SLOTS", str(DURABLE_SLOTS))),
            labels={key: "true" for key, on in flags.items() if on},
            roles=kept,
        )


_PREFIX = "SCYTHE_WORKER_"
_KNOWN = {"NAME", "SLOTS", "DURABLE_SLOTS", "HIGH_MEMORY", "HIGH_CPU", "HAS_GPU", "DOES_FAN", "DOES_LEAF"}


def variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What `SCYTHE_WORKER_*` says, by the name after that. Raises `ConfigError` for a name that is not a setting."""
    found = os.environ if environ is None else environ
    own = {key.removeprefix(_PREFIX): value for key, value in found.items() if key.startswith(_PREFIX) and value}
    if unknown := set(own) - _KNOWN:
        raise ConfigError(f"{_PREFIX}{min(unknown)} is not a setting of workers: {', '.join(sorted(_KNOWN))}")
    return own


def roles(*, fan: bool, leaf: bool) -> frozenset[Role]:
    """The roles that are on. Raises `ConfigError` when none is."""
    kept: set[Role] = set()
    if fan:
        kept.add("fan")
    if leaf:
        kept.add("leaf")
    if not kept:
        raise ConfigError(f"{_PREFIX}DOES_FAN and {_PREFIX}DOES_LEAF are both off: the worker would do nothing")
    return frozenset(kept)


def _flag(key: str, text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ConfigError(f"{_PREFIX}{key}={text}  must be true or false")


def _count(key: str, text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise ConfigError(f"{_PREFIX}{key}={text}  must be a whole number, 1 or more")
