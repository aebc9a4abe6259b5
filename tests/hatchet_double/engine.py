"""The engine's core: takes triggers and what workers report, leaves tasks on workers and runs finished.

All of it runs on one event loop, so nothing here locks. Life of a task:

    submit -> enqueue -> assign -> complete
                 ^          |----> fail (an exception, the execution timeout) -> retry or the end
                 |          |----> worker died -> enqueue again, without using up a retry
                 |          '----> evict (durable tasks) -> restore
                 '--- every way back raises retry_count, so that late reports of an old attempt are ignored
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from hatchet_sdk.contracts.dispatcher_pb2 import START_STEP_RUN
from hatchet_sdk.contracts.v1.shared.trigger_pb2 import TriggerWorkflowRequest

from .actions import cancel_action, start_action
from .birth import new_run
from .clocks import Clocks, backoff
from .durable import DurableLog
from .durations import seconds
from .fleet import Fleet
from .queues import Queues
from .records import Run, Status, Stream, Task, Worker, now
from .settings import Settings
from .trouble import Trouble
from .workflows import Workflows

ChildKey = tuple[str, int, str]
STEP_INDEX = 0  # every child is one task or is known by its first


class Engine:
    """Workflows, runs, tasks and workers of one tenant, and the rules between them."""

    def __init__(self, settings: Settings, trouble: Trouble) -> None:
        self.settings = settings
        self.trouble = trouble
        self.tenant = str(uuid.uuid4())
        self.loop = asyncio.get_running_loop()
        self.workflows = Workflows()
        self.runs: dict[str, Run] = {}
        self.tasks: dict[str, Task] = {}
        self.children: dict[ChildKey, str] = {}
        self.durable: dict[str, DurableLog] = {}
        self.fleet = Fleet(settings, self.loop.time, lambda: str(uuid.uuid4()))
        self.on_finished: list[Callable[[Run], None]] = []
        self._queues = Queues()
        self._clocks = Clocks(self.loop)
        self._awake = False

    # -- triggers ------------------------------------------------------------------------------------------------

    def find_child(self, request: TriggerWorkflowRequest) -> tuple[ChildKey | None, str | None]:
        """The key that makes a child unique, and the run it already stands for."""
        if not (request.HasField("parent_task_run_external_id") and request.HasField("child_index")):
            return None, None
        name = request.child_key if request.HasField("child_key") else str(request.child_index)
        key = (request.parent_task_run_external_id, STEP_INDEX, name)
        return key, self.children.get(key)

    def submit(self, request: TriggerWorkflowRequest) -> str:
        """Create a run and queue it; a child that exists already gives its old id, whatever became of it.

        A workflow that nobody registered gives an id too, and no run: the engine accepts it silently.
        """
        key, known = self.find_child(request)
        if known is not None:
            return known
        workflow = self.workflows.by_name.get(request.name)
        run_id = str(uuid.uuid4())
        if key is not None:
            self.children[key] = run_id
        if workflow is not None and not self.trouble.takes_run(workflow.name):
            self._create(new_run(run_id, workflow, request))
        return run_id

    def _create(self, run: Run) -> None:
        self.runs[run.id] = run
        self.tasks.update((task.id, task) for task in run.tasks)
        for task in run.tasks:
            self._show(task, Status.QUEUED)
            if not task.spec.parents:
                self.enqueue(task)

    def forget(self, run_id: str) -> None:
        """Lose a run and its tasks; child keys still lead to its id."""
        for task in self.runs.pop(run_id).tasks:
            self._release(task)
            task.status = Status.CANCELLED
            del self.tasks[task.id]

    # -- queueing and assignment ---------------------------------------------------------------------------------

    def enqueue(self, task: Task) -> None:
        task.status = Status.QUEUED
        self._show(task, Status.QUEUED)
        self._clocks.set(task, seconds(task.spec.schedule_timeout), self._schedule_timeout)
        self._queues.push(task)
        self.wake()

    def wake(self) -> None:
        """Look for places for queued tasks, once, soon."""
        if not self._awake:
            self._awake = True
            self.loop.call_soon(self.assign_now)

    def assign_now(self) -> None:
        self._awake = False
        self._queues.drain(self._place)

    def _place(self, task: Task) -> bool:
        worker = self.fleet.find(task)
        if worker is None or worker.stream is None:
            return False
        if self.trouble.takes_assignment(self.runs[task.run_id].workflow.name):
            self._clocks.stop(task)
        else:
            self._assign(task, worker, worker.stream)
        return True

    def _assign(self, task: Task, worker: Worker, stream: Stream) -> None:
        self.fleet.occupy(worker, task)
        task.status, task.worker_id, task.evicted = Status.RUNNING, worker.id, False
        task.workers_seen.append(worker.id)
        invocation = None
        if task.spec.durable:
            invocation = self.durable.setdefault(task.id, DurableLog(task.id)).start_invocation()
        self._show(task, Status.RUNNING)
        self._clocks.set(task, seconds(task.spec.timeout), self._execution_timeout)
        stream.put_nowait(start_action(self.tenant, self.runs[task.run_id], task, invocation=invocation))

    def _release(self, task: Task) -> None:
        """Take a task off its worker and stop its clock."""
        self._clocks.stop(task)
        worker = self.fleet.workers.get(task.worker_id or "")
        if worker is not None:
            self.fleet.vacate(worker, task)
        task.worker_id = None
        self.wake()

    # -- what workers report -------------------------------------------------------------------------------------

    def current(self, task_id: str, retry_count: int) -> Task | None:
        """The task, if a report of this attempt still counts."""
        task = self.tasks.get(task_id)
        if task is None or task.status is not Status.RUNNING or task.retry_count != retry_count:
            return None
        return task

    def started(self, task: Task) -> None:
        task.started = task.started or now()

    def complete(self, task: Task, output: str) -> None:
        task.output = output
        self._finish(task, Status.COMPLETED)

    def fail(self, task: Task, error: str, *, retry: bool = True) -> None:
        """An attempt failed: again, later, or the end."""
        self._release(task)
        if not retry or task.app_retries >= task.spec.retries:
            self._finish(task, Status.FAILED, error=error, shown_error=error)
            return
        task.app_retries += 1
        task.retry_count += 1
        delay = backoff(task)
        if delay:
            task.status = Status.QUEUED
            self._show(task, Status.QUEUED)
            self._clocks.set(task, delay, self.enqueue)
        else:
            self.enqueue(task)

    def _schedule_timeout(self, task: Task) -> None:
        """No worker in time: cancelled for those who wait, failed with no message for those who look (as measured)."""
        self._finish(task, Status.CANCELLED, shown_status=Status.FAILED)

    def _execution_timeout(self, task: Task) -> None:
        self._tell_to_cancel(task)
        self.fail(task, f"Task exceeded timeout of {task.spec.timeout}")

    def refresh_timeout(self, task: Task, increment: str) -> float:
        """Add to the execution timeout; returns the seconds that are left then."""
        left = self._clocks.left(task) + seconds(increment)
        self._clocks.set(task, left, self._execution_timeout)
        return left

    def release_slot(self, task: Task) -> None:
        worker = self.fleet.workers.get(task.worker_id or "")
        if worker is not None:
            self.fleet.vacate(worker, task)
            self.wake()

    # -- cancelling, replaying, dying, evicting ------------------------------------------------------------------

    def cancel(self, task: Task) -> None:
        if not task.status.final:
            self._tell_to_cancel(task)
            self._finish(task, Status.CANCELLED)

    def _tell_to_cancel(self, task: Task) -> None:
        worker = self.fleet.workers.get(task.worker_id or "")
        if worker is not None and worker.stream is not None:
            log = self.durable.get(task.id)
            run = self.runs[task.run_id]
            worker.stream.put_nowait(cancel_action(self.tenant, run, task, invocation=log.invocation if log else None))

    def replay(self, task: Task) -> None:
        """Run a finished task again."""
        if task.status.final:
            task.retry_count += 1
            task.app_retries = 0
            task.error = task.shown_error = task.output = ""
            task.finished = None
            self.enqueue(task)

    def reassign(self, task: Task) -> None:
        """The worker died: to another one, without using up a retry."""
        self._release(task)
        if task.reassignments >= self.settings.max_reassignments:
            self._finish(task, Status.FAILED, shown_error="Task reached its maximum reassignment count")
            return
        task.reassignments += 1
        task.retry_count += 1
        self.enqueue(task)

    def close_stream(self, worker: Worker, stream: Stream) -> None:
        """A worker's action stream broke: what it was not sent yet goes back into the queue."""
        for action in self.fleet.close_stream(worker, stream):
            task = self.current(action.task_run_external_id, action.retry_count)
            if task is not None and action.action_type == START_STEP_RUN:
                self.reassign(task)

    def evict(self, task: Task) -> None:
        """Free the slot of a waiting durable task; its clock stands still."""
        self._release(task)
        task.evicted = True
        self._show(task, Status.RUNNING)
        if self.durable[task.id].nothing_to_wait_for:
            self.restore(task)

    def restore(self, task: Task) -> None:
        """Queue an evicted task: something it waited for came. The same attempt, the next invocation."""
        if task.evicted and not task.status.final:
            self.enqueue(task)

    def check_workers(self) -> None:
        """Take the tasks from workers that are dead."""
        for worker in list(self.fleet.dead()):
            for task_id in list(worker.tasks):
                self.reassign(self.tasks[task_id])

    # -- the end of a task ---------------------------------------------------------------------------------------

    def _finish(
        self,
        task: Task,
        status: Status,
        *,
        error: str = "",
        shown_status: Status | None = None,
        shown_error: str = "",
    ) -> None:
        self._release(task)
        task.status, task.error, task.finished = status, error, now()
        self._show(task, shown_status or status, shown_error)
        run = self.runs[task.run_id]
        self._go_on(run)
        if run.status.final:
            for tell in self.on_finished:
                tell(run)

    def _go_on(self, run: Run) -> None:
        """In a workflow of several tasks: start those whose parents are done, cancel those whose parents failed."""
        done = {task.spec.name: task.status for task in run.tasks}
        for task in run.tasks:
            parents = [done[name] for name in task.spec.parents]
            if task.status is not Status.QUEUED or task.timer is not None or not parents:
                continue
            if all(status is Status.COMPLETED for status in parents):
                self.enqueue(task)
            elif any(status in (Status.FAILED, Status.CANCELLED) for status in parents):
                self._finish(task, Status.CANCELLED)

    def _show(self, task: Task, status: Status, error: str = "") -> None:
        """Let REST see a state, after the lag."""
        if self.settings.report_lag:
            self.loop.call_later(self.settings.report_lag, self._set_shown, task, status, error)
        else:
            self._set_shown(task, status, error)

    def _set_shown(self, task: Task, status: Status, error: str) -> None:
        task.shown_status, task.shown_error = status, error
        if task.run_id in self.runs:
            self.runs[task.run_id].visible = True
