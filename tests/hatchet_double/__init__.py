"""An in-process Hatchet engine for tests: real gRPC and REST, real workers, no database.

    with HatchetDouble() as engine:
        subprocess.Popen([...a worker...], env={**os.environ, **engine.env})

Takes what an unmodified hatchet-sdk 1.43 sends; leaves runs, tasks and workers to look at. The rules were read in the
engine's source (v0.104 and the SDK's newer protocol) and measured on a real one. Known differences from it:

- Time: nothing polls. Assignment, timeouts, retries, cancelling and reassignment happen at once or on the dot, where
  the engine takes up to seconds under load; the once-a-second slot turnover is `Settings.refill_interval`.
- A worker counts as dead `lost_after` seconds after its stream broke (1 s), not only 30 s after its last heartbeat.
- REST shows the truth at once unless `report_lag` is set; counts always add up; there are no deep-paging costs.
- Schedule timeouts strike on the dot, also deep in a backlog. An evicted task gets its whole execution timeout again.
- Assignment is by label weight, then free slots; sticky workers are preferred, never insisted on.
- Two equal child keys in one bulk call give the same id (the engine mishandles them).
- Durable sleeps last what they say (the engine's tick adds a second), and after a hand-over completions are pushed
  (the engine's new worker finds them by its poll of 5 s). A worker that left is INACTIVE at once (3 s).
- A retry or run that a draining worker was given in its last seconds goes elsewhere after `lost_after` (30 s).
- A duplicate key's dedup record and its run are made in one step unless `trouble.lose_runs` asks otherwise.
- Oversized results vanish at `result_limit`, for a run as a whole; one message is capped at 4 MiB as in the engine.
- Durable logs: ordered delivery survives a reconnect (newer engines); a stalled order is not evicted; no branches
  (reset), no lookback for events, no event scopes, no CEL: any event of the key wakes the wait.
- A durable task's stream tells it of every finished child, waited for or not, as the engine's source does. The SDK
  hands completions on strictly in order, so one child that nobody awaits holds up all later waits of its parent.
- Not doubled: crons, schedules, event triggers, concurrency, rate limits, idempotency keys, batches, on-failure tasks,
  filters, webhooks, streams of run events, task events and logs over REST, priorities beyond ordering, namespaces of
  tenants, tenant limits, gRPC rate limits.
"""

from . import sdk  # noqa: F401  first, so that the SDK's import is quiet where warnings are errors
from .double import HatchetDouble
from .records import Run, Status, Task, Worker
from .settings import Settings
from .trouble import Trouble

__all__ = ["HatchetDouble", "Run", "Settings", "Status", "Task", "Trouble", "Worker"]
