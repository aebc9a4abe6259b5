"""The process that lanes are forked from: it imports the user's module once and then does nothing else.

Input: a config of names over a socket. Output: lanes, and reports of their ends. It is the parent of every lane and
inherits whatever a dead lane leaves running, so nothing of a spec outlives its lane. When its supervisor is gone it
ends the lanes and all that they started, and then itself; when it is killed, the kernel kills the lanes. It never
runs user code beyond the import, never uses polars, and has one thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from scythe_cli.core import processes
from scythe_cli.core.clock import Clock
from scythe_cli.errors import EntryPointError
from scythe_cli.experiment.experiment import load
from scythe_cli.lane.batch_lane import BatchLane
from scythe_cli.lane.fork_safety import reason_not_to_fork
from scythe_cli.lane.job import RUN_TAG, ForkServerConfig, ServerEvent, ServerOrder, lane_folder
from scythe_cli.lane.lane import Lane
from scythe_cli.lane.os_state import WHERE_SIGNAL, trace_crashes
from scythe_cli.lane.python_state import watch_changes
from scythe_cli.lane.random_state import Unseeded
from scythe_cli.libraries.late_pandas import defer_pandas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scythe_cli.experiment.experiment import Experiment

CONTAINERS = 10_000
"""New objects after which a lane looks for cycles: outcomes that wait to be sent are many, and not part of any."""
_USUAL_THRESHOLD = (700, 10, 10)


def _lane_command(config: ForkServerConfig, lane: int, fds: tuple[int, int, int]) -> list[str]:
    code = (
        f"import gc, sys; gc.disable(); sys.path[:] = {sys.path!r}\n"
        f"from scythe_cli.lane.fork_server import lane_main; lane_main({json.dumps(asdict(config))!r}, {lane}, {fds!r})"
    )
    return [sys.executable, "-c", code]


def lane_main(text: str, lane: int, fds: tuple[int, int, int]) -> NoReturn:
    """A lane that was not forked: import the user's module here, then work."""
    config = ForkServerConfig(**json.loads(text))
    processes.set_parent_death_signal()
    with _process_restored(config):
        experiment, broken = _import(config, Unseeded())
    _serve_lane(config, lane, _Imported(experiment, broken, None, None), fds)


def main(fd: int, text: str) -> None:
    """Run the fork server until the other end of `fd` closes."""
    config = ForkServerConfig(**json.loads(text))
    processes.set_parent_death_signal()
    processes.become_subreaper()
    parent = os.getppid()
    unseeded = Unseeded()
    with _process_restored(config):
        experiment, broken = _import(config, unseeded)
    obstacle = "run.fresh_workers is set" if config.fresh else unseeded.cannot_reseed or reason_not_to_fork()
    gc.collect()
    gc.freeze()
    imported = _Imported(experiment, broken, unseeded, obstacle)
    _ForkServer(socket.socket(fileno=fd), config, imported).serve(parent)


@contextlib.contextmanager
def _process_restored(config: ForkServerConfig) -> Iterator[None]:
    """Undo what an import does to the process that would have lanes end unnoticed, or run somewhere else."""
    streams = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in range(3)]
    umask = os.umask(0o077)
    os.umask(umask)
    os.chdir(config.folder)
    yield
    os.chdir(config.folder)
    os.umask(umask)
    os.environ[RUN_TAG] = config.scratch
    for fd, stream in enumerate(streams):
        os.dup2(stream, fd)
        os.close(stream)
    signal.pthread_sigmask(
        signal.SIG_SETMASK, ()
    )  # also signals that the same import blocked in the supervisor's process
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    faulthandler.cancel_dump_traceback_later()


@dataclass(frozen=True)
class _Imported:
    """What the import of the user's module has left.

    Attributes:
        experiment: the loaded experiment, or None when its import failed.
        broken: the traceback of that import.
        unseeded: generators that a lane forked from here must seed; None in a lane that imported by itself.
        obstacle: why lanes are not forked from here; None where they are.
    """

    experiment: Experiment | None
    broken: str | None
    unseeded: Unseeded | None
    obstacle: str | None


def _import(config: ForkServerConfig, unseeded: Unseeded) -> tuple[Experiment | None, str | None]:
    watch_changes()
    defer_pandas()
    for module in ("pyarrow", "pyarrow.parquet", "pyarrow.compute"):
        importlib.import_module(module)
    gc.freeze()  # what is imported so far stays, so no collection needs to look at it
    gc.enable()
    try:
        with unseeded.watch():
            return load(config.target, config.folder), None
    except EntryPointError as exc:
        return None, exc.message
    except BaseException:  # noqa: BLE001 - the user's module may raise anything; every row then says what
        return None, traceback.format_exc()


def _serve_lane(config: ForkServerConfig, lane: int, imported: _Imported, fds: tuple[int, int, int]) -> NoReturn:
    """Be a lane until there is no more work, then end without running anybody's exit handlers twice."""
    connection, marker, capture = fds
    code = 1
    try:
        for fd in fds:
            os.set_inheritable(fd, False)
        _prepare_lane(config, lane, capture)
        if imported.unseeded is not None:
            imported.unseeded.reseed()
        many = imported.experiment is not None and imported.experiment.form is not None
        (BatchLane if many else Lane)(
            socket.socket(fileno=connection),
            marker,
            capture_fd=capture,
            experiment=imported.experiment,
            broken=imported.broken,
            folder=tempfile.gettempdir(),
        ).serve()
        code = 0
    except BaseException:  # noqa: BLE001 - a lane must not climb into the fork server's stack
        os.write(capture, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(code)


def _prepare_lane(config: ForkServerConfig, lane: int, capture: int) -> None:
    """Make the process a lane: its own temporary files and random numbers, a trace when it crashes, no core file."""
    processes.become_subreaper()
    processes.raise_oom_score()
    os.chdir(config.folder)
    folder = lane_folder(config.scratch, lane)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    trace_crashes(capture)
    if gc.get_threshold() == _USUAL_THRESHOLD:
        gc.set_threshold(CONTAINERS, *_USUAL_THRESHOLD[1:])


def _kill_lane(pid: int, above: int | None = None) -> None:
    """Kill a lane with its group. Where a resource tracker may be in that, the lane alone: what it leaves comes to us.

    Args:
        pid: the lane, not reaped.
        above: who has the lane's children: the lane itself, unless it has ended.
    """
    if processes.has_tracker_below(above or pid):
        os.kill(pid, signal.SIGKILL)
    else:
        processes.kill_group(pid)


class _ForkServer:
    def __init__(
        self,
        control: socket.socket,
        config: ForkServerConfig,
        imported: _Imported,
    ) -> None:
        self._control = control
        self._config = config
        self._imported = imported
        self._lanes: dict[int, int] = {}
        self._lingering: dict[int, float] = {}
        self._helpers = set(processes.children(os.getpid()))
        self._fds: list[int] = []
        self._text = b""
        self._wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(self._wake, False)
        mine = (signal.SIGCHLD, signal.SIGTERM)
        self._signals = [(number, signal.signal(number, lambda *_: None)) for number in mine]
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._wake_write = wake_write
        processes.set_parent_death_signal(signal.SIGTERM)

    def serve(self, parent: int) -> None:
        """Start and kill lanes on request, until the supervisor, process `parent`, has closed its end or has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._emit(ServerEvent.READY, obstacle=self._imported.obstacle)
            self._serve(parent)
        for pid in self._lanes:
            _kill_lane(pid)
        processes.wait_for_trackers(processes.kill_children() | set(self._lingering))

    def _serve(self, parent: int) -> None:
        while os.getppid() == parent:
            wait = processes.TRACKER_SECONDS / 4 if self._lingering else None
            readable, _, _ = select.select([self._control.fileno(), self._wake], [], [], wait)
            self._end_lingering_trackers()
            if self._wake in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                self._reap()
            if self._control.fileno() in readable and not self._apply_orders():
                return

    def _apply_orders(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 65536, 48)
        except ConnectionResetError:
            return False
        if not data:
            return False
        self._fds += fds
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["order"] == ServerOrder.LANE:
                (connection, marker, capture), self._fds = self._fds[:3], self._fds[3:]
                self._start(order["lane"], (connection, marker, capture))
            else:
                for pid in [pid for pid, lane in self._lanes.items() if lane == order["lane"]]:
                    if order["order"] == ServerOrder.KILL:
                        _kill_lane(pid)
                    else:
                        os.kill(pid, WHERE_SIGNAL)
        return True

    def _start(self, lane: int, fds: tuple[int, int, int]) -> None:
        try:
            pid = os.fork()
        except OSError as exc:
            pid = None
            self._emit(ServerEvent.EXIT, lane=lane, status=exc.errno, why=exc.strerror)
        if pid == 0:
            self._become_lane(lane, fds)
        for fd in fds:
            os.close(fd)
        if pid is None:
            return
        self._lanes[pid] = lane
        self._emit(ServerEvent.STARTED, lane=lane, pid=pid)

    def _become_lane(self, lane: int, fds: tuple[int, int, int]) -> NoReturn:
        try:
            os.setsid()
            processes.set_parent_death_signal()
            signal.set_wakeup_fd(-1)
            for number, handler in self._signals:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._control.close()
            for fd in (self._wake, self._wake_write, *self._fds):
                os.close(fd)
            if self._imported.obstacle is not None:
                for fd in fds:
                    os.set_inheritable(fd, True)
                os.execv(sys.executable, _lane_command(self._config, lane, fds))  # noqa: S606 - ours, and no shell
        except BaseException:  # noqa: BLE001 - a lane must not climb into the fork server's stack
            os._exit(1)
        _serve_lane(self._config, lane, self._imported, fds)

    def _reap(self) -> None:
        """Reap what has ended. A lane's group is killed before the lane is reaped: then its number is still its own."""
        ended: dict[int, int] = {}
        while (pid := processes.ended_child()) is not None:
            if pid in self._lanes:
                _kill_lane(pid, os.getpid())
            _, status = os.waitpid(pid, 0)
            self._lingering.pop(pid, None)
            if pid in self._lanes:
                ended[self._lanes.pop(pid)] = os.waitstatus_to_exitcode(status)
        if ended:
            trackers = processes.kill_children(keep=self._helpers | set(self._lanes) | set(self._lingering))
            self._lingering |= dict.fromkeys(trackers, Clock.monotonic() + processes.TRACKER_SECONDS)
        for lane, code in ended.items():
            self._emit(ServerEvent.EXIT, lane=lane, status=code)

    def _end_lingering_trackers(self) -> None:
        """Kill trackers that had their time; they are reaped as all that ends."""
        for pid, deadline in self._lingering.items():
            if Clock.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)

    def _emit(self, event: ServerEvent, **more: Any) -> None:
        self._control.sendall(json.dumps({"event": event, **more}).encode() + b"\n")
