"""How the double behaves: times short enough for tests, the sizes of the real engine."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """Seconds and bytes; the real engine's value stands in brackets where the default differs.

    Attributes:
        refill_interval: A freed slot takes its next task at the next multiple of this; 0 is at once [about 1].
        lost_after: A worker whose action stream broke this long ago loses its tasks to others [30, by heartbeat].
        heartbeat_timeout: The same for a worker whose stream is open but which is silent; SDKs send one every 4 s.
        heartbeat_grace: A worker silent for this long gets no new tasks [5].
        pause_lag: A paused worker still gets tasks for this long [1 to 2].
        max_reassignments: A task whose workers died more often than this fails.
        finished_tick: Runs already finished when they are subscribed to are reported at this interval.
        report_lag: REST shows states this late [2 and more].
        result_limit: A subscriber gets nothing instead of results larger than this.
        max_message: The cap on one gRPC message, in both directions.
        bulk_limit: Runs in one bulk trigger.
        cancel_limit: Runs one cancel by filter looks at.
        version: What GetVersion answers; the SDK chooses its behaviour by it.
    """

    refill_interval: float = 0.0
    lost_after: float = 1.0
    heartbeat_timeout: float = 30.0
    heartbeat_grace: float = 10.0
    pause_lag: float = 0.0
    max_reassignments: int = 10
    finished_tick: float = 1.0
    report_lag: float = 0.0
    result_limit: int = 4 * MIB
    max_message: int = 4 * MIB
    bulk_limit: int = 1000
    cancel_limit: int = 20_000
    version: str = "v0.104.7"
