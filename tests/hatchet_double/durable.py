"""The log of a durable task: numbered nodes (children, waits, memos) that a replay must repeat.

A new invocation starts at node 1 again. A node that exists must be of the same kind and content, or the replay is not
deterministic; a child that exists (by its child key) answers with its old node, wherever that is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

BRANCH = 1  # resets, which make new branches, are not doubled


class Kind(StrEnum):
    RUN = "RUN"
    WAIT_FOR = "WAIT_FOR"
    MEMO = "MEMO"


class NonDeterminismError(Exception):
    """A replay did something else than the invocation before it."""

    def __init__(self, node: int, expected: Kind, actual: Kind) -> None:
        super().__init__(f"node {node}: the log has {expected}, the task asks for {actual}, or for another content")
        self.node = node


@dataclass
class Entry:
    """One node. `order` numbers what came true, so that a replay sees it in the same order."""

    node: int
    kind: Kind
    key: bytes
    child: str | None = None
    open_groups: set[str] = field(default_factory=set)
    satisfied: bool = False
    order: int | None = None
    payload: bytes = b""
    error: str | None = None


@dataclass
class DurableLog:
    """All nodes of one durable task."""

    task_id: str
    invocation: int = 0
    latest_node: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    by_child: dict[str, Entry] = field(default_factory=dict)
    orders: int = 0

    def start_invocation(self) -> int:
        self.invocation += 1
        self.latest_node = 0
        return self.invocation

    @property
    def nothing_to_wait_for(self) -> bool:
        return all(entry.satisfied for entry in self.entries.values())

    def adopt(self, entry: Entry, run_id: str) -> None:
        """The run that a node stands for."""
        entry.child = run_id
        self.by_child[run_id] = entry

    def visit(self, kind: Kind, key: bytes) -> tuple[Entry, bool]:
        """The next node of this invocation, and whether it is new."""
        node = self.latest_node + 1
        entry = self.entries.get(node)
        if entry is not None and (entry.kind is not kind or entry.key != key):
            raise NonDeterminismError(node, entry.kind, kind)
        self.latest_node = node
        if entry is not None:
            return entry, False
        self.entries[node] = entry = Entry(node=node, kind=kind, key=key)
        return entry, True

    def revisit(self, entry: Entry, key: bytes | None) -> None:
        """A child known by its key; without an explicit one its input must be the same too."""
        if key is not None and key != entry.key:
            raise NonDeterminismError(entry.node, entry.kind, Kind.RUN)
        self.latest_node = max(self.latest_node, entry.node)

    def satisfy(self, entry: Entry, *, payload: bytes = b"", error: str | None = None) -> None:
        if not entry.satisfied:
            self.orders += 1
            entry.satisfied, entry.order = True, self.orders
            entry.payload, entry.error = payload, error


def content_key(kind: Kind, *parts: str) -> bytes:
    """What makes two nodes the same."""
    return hashlib.sha256("\0".join((kind, *parts)).encode()).hexdigest().encode()
