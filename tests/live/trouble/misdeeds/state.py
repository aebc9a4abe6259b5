"""What specs leave behind: children, threads, streams, settings of the process. They succeed themselves."""

from __future__ import annotations

import _thread
import faulthandler
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from multiprocessing import Process, current_process, get_context
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, cast

from misdeeds.models import FOREVER, Input, fails, lives, start_tree
from misdeeds.sanity import CLOCKS, HANDLERS, LIMITS

_HELD: list[Any] = []


@lives
def forks_and_both_return(spec: Input, tempdir: Path) -> Any:
    os.fork()


@lives
def forks_and_the_child_raises(spec: Input, tempdir: Path) -> Any:
    if os.fork() == 0:
        raise ValueError("in the child")


@lives
def leaves_a_forked_child(spec: Input, tempdir: Path) -> Any:
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", spec.tag])  # noqa: S606 - the trouble


@lives
def leaves_a_detached_child(spec: Input, tempdir: Path) -> Any:
    start_tree(spec)


@lives
def leaves_a_child_without_environment(spec: Input, tempdir: Path) -> Any:
    subprocess.Popen(["setsid", "env", "-i", "sleep", spec.tag])


@lives
def leaves_a_process_of_multiprocessing(spec: Input, tempdir: Path) -> Any:
    Process(target=time.sleep, args=(FOREVER,), daemon=False).start()


@lives
def leaves_a_thread(spec: Input, tempdir: Path) -> Any:
    threading.Thread(target=time.sleep, args=(FOREVER,)).start()


@lives
def leaves_a_thread_that_runs_wild(spec: Input, tempdir: Path) -> Any:
    def wild() -> None:
        while True:
            os.environ["TROUBLE"] = "wild"

    threading.Thread(target=wild, daemon=True).start()


@lives
def leaves_a_thread_with_a_child(spec: Input, tempdir: Path) -> Any:
    threading.Thread(target=subprocess.run, args=(["setsid", "sleep", spec.tag],), daemon=True).start()
    time.sleep(0.1)


@lives
def goes_elsewhere(spec: Input, tempdir: Path) -> Any:
    os.chdir("/")


@lives
def goes_to_a_folder_that_is_gone(spec: Input, tempdir: Path) -> Any:
    gone = Path(tempfile.mkdtemp())
    os.chdir(gone)
    gone.rmdir()


@lives
def changes_the_environment(spec: Input, tempdir: Path) -> Any:
    os.environ["TROUBLE"] = "yes"
    del os.environ["HOME"]


@lives
def replaces_the_environment(spec: Input, tempdir: Path) -> Any:
    os.environ = {"TROUBLE": "yes"}  # type: ignore[assignment]  # noqa: B003 - the trouble


@lives
def replaces_signal_handlers(spec: Input, tempdir: Path) -> Any:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, lambda *_: None)


@lives
def sets_an_alarm(spec: Input, tempdir: Path) -> Any:
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)


@lives
def changes_the_umask(spec: Input, tempdir: Path) -> Any:
    os.umask(0o777)


@lives
def deletes_its_tempdir(spec: Input, tempdir: Path) -> Any:
    tempdir.rmdir()


@lives
def litters_its_tempdir(spec: Input, tempdir: Path) -> Any:
    (tempdir / "deep").mkdir()
    (tempdir / "deep" / "file").write_text("x" * 1000)
    tempfile.mkdtemp()
    tempfile.mkstemp()


@lives
def leaves_files_open(spec: Input, tempdir: Path) -> Any:
    for _ in range(500):
        os.open(os.devnull, os.O_RDONLY)


@lives
def leaves_memory_in_use(spec: Input, tempdir: Path) -> Any:
    _HELD.append(bytearray(b"x") * (200 << 20))


@lives
def closes_the_streams(spec: Input, tempdir: Path) -> Any:
    sys.stdin.close()
    sys.stdout.close()
    for descriptor in (0, 1, 2):
        os.close(descriptor)


@lives
def detaches_the_streams(spec: Input, tempdir: Path) -> Any:
    sys.stdout.detach()  # type: ignore[union-attr]  # a text stream
    sys.stderr = None
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115 - the trouble


@lives
def sends_its_output_elsewhere(spec: Input, tempdir: Path) -> Any:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


@lives
def sends_its_errors_elsewhere(spec: Input, tempdir: Path) -> Any:
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(reading)
    os.close(writing)


@lives
def closes_stdout_with_text_in_it(spec: Input, tempdir: Path) -> Any:
    sys.stdout.write("half a line")
    os.close(1)


@lives
def prints_100_megabytes(spec: Input, tempdir: Path) -> Any:
    for _ in range(100):
        sys.stdout.write("z" * (1 << 20))


@lives
def has_a_child_print(spec: Input, tempdir: Path) -> Any:
    subprocess.run(["head", "-c", "20000000", "/dev/zero"], check=True)


@lives
def lowers_its_limits(spec: Input, tempdir: Path) -> Any:
    used = int(time.process_time()) + 1
    for number, limit in zip(LIMITS, (4 << 30, used, 0, 64), strict=True):
        resource.setrlimit(number, (limit, resource.getrlimit(number)[1]))


@lives
def gives_way_to_others(spec: Input, tempdir: Path) -> Any:
    os.nice(5)


@lives
def blocks_signals(spec: Input, tempdir: Path) -> Any:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


@lives
def replaces_rare_handlers(spec: Input, tempdir: Path) -> Any:
    for number in HANDLERS:
        signal.signal(number, lambda *_: None)


@lives
def sets_alarms_of_other_clocks(spec: Input, tempdir: Path) -> Any:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
    signal.setitimer(signal.ITIMER_PROF, 0.05)


@lives
def has_the_process_end_later(spec: Input, tempdir: Path) -> Any:
    faulthandler.dump_traceback_later(0.2, exit=True)


@lives
def freezes_time(spec: Input, tempdir: Path) -> Any:
    """As freezegun does: in every module."""
    frozen = {id(clock): value for clock, value in zip(CLOCKS, (5.0, 5.0, float("nan"), None), strict=True)}
    for module in [module for module in sys.modules.values() if module.__name__ != __name__]:
        for name, value in list(vars(module).items()):
            if id(value) in frozen:
                setattr(module, name, partial(_say, frozen[id(value)]))


def _say(value: Any, *_: Any) -> Any:
    return value


@lives
def lives_elsewhere(spec: Input, tempdir: Path) -> Any:
    os.environ["TZ"] = "TRB-3"
    time.tzset()
    del os.environ["TZ"]


@lives
def is_traced(spec: Input, tempdir: Path) -> Any:
    sys.settrace(lambda *_: None)
    sys.setprofile(lambda *_: None)


@lives
def allows_few_calls(spec: Input, tempdir: Path) -> Any:
    sys.setrecursionlimit(100)


@lives
def hides_all_modules(spec: Input, tempdir: Path) -> Any:
    sys.path = []


@lives
def has_no_temporary_files(spec: Input, tempdir: Path) -> Any:
    tempfile.tempdir = "/nowhere"


@lives
def leaves_a_raw_thread(spec: Input, tempdir: Path) -> Any:
    _thread.start_new_thread(lambda: (CLOCKS[-1](0.2), os._exit(7)), ())


def share(spec: Input) -> None:
    """Shared memory and semaphores, and a process that has them too."""
    _HELD.append(SharedMemory(f"psm_{spec.tag}_{os.getpid()}", create=True, size=1 << 20))
    cast("Any", current_process())._config["semprefix"] = f"/mp-{spec.tag}"
    spawn = get_context("spawn")
    _HELD.append(spawn.Semaphore(1))
    if spec.seconds:
        _HELD.append(pool := spawn.Pool(1))
        pool.map(abs, [1])


@lives
def leaves_shared_memory(spec: Input, tempdir: Path) -> Any:
    share(spec)


@fails("crash")
def crashes_with_shared_memory(spec: Input, tempdir: Path) -> Any:
    share(spec)
    os.abort()


@fails("timeout")
def hangs_with_shared_memory(spec: Input, tempdir: Path) -> Any:
    share(spec)
    time.sleep(FOREVER)
