"""An experiment whose specs misbehave, each in the way its input field `trouble` names.

Every trouble is a function; `FAILS` tells the kind of failure it must end in, `LIVES` holds those that must succeed.
What they start in the background can be told by `tag` in its command line.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import faulthandler
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Process, current_process, get_context
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference
from scythe_cli.lane import wire

FAILS: dict[str, str] = {}
LIVES: set[str] = set()
FOREVER = 3600.0
_ACTS: dict[str, Callable[..., Any]] = {}


class Input(ExperimentInputSpec):
    """One spec."""

    trouble: str = Field(default="none", description="What it does.")
    diary: str = Field(default="", description="A file that each run of a spec adds a line to.")
    tag: str = Field(default="", description="Stands in the command line of what it starts.")
    seconds: float = Field(default=0.0, description="How long it takes at least.")


class Output(ExperimentOutputSpec):
    """What a spec gives."""

    model_config = ConfigDict(title="What a spec gives")

    value: float = Field(ge=0, le=1e6, allow_inf_nan=False)
    free: float = 0.0
    text: str = ""
    report: FileReference | None = None
    anything: Any = None

    @field_validator("text")
    @classmethod
    def explosive(cls, text: str) -> str:
        """Do what a validator should not."""
        if text == "explode":
            raise RuntimeError("a validator that raises what pydantic does not catch")
        if text in _IN_A_VALIDATOR:
            _IN_A_VALIDATOR[text]()
        return text


_IN_A_VALIDATOR: dict[str, Callable[[], Any]] = {
    "exit": sys.exit,
    "exit hard": lambda: os._exit(3),
    "hang": lambda: time.sleep(FOREVER),
    "fork": os.fork,
}


Act = Callable[[Input, Path], Any]


def fails(kind: str) -> Callable[[Act], Act]:
    """Register a trouble that ends in one failed row of this kind."""

    def note(act: Act) -> Act:
        FAILS[act.__name__] = kind
        _ACTS[act.__name__] = act
        return act

    return note


def lives(act: Act) -> Act:
    """Register a trouble that succeeds."""
    LIVES.add(act.__name__)
    _ACTS[act.__name__] = act
    return act


@ExperimentRegistry.Register()
def work(spec: Input, tempdir: Path) -> Output:
    """Do what the spec says, and give it away when the spec before left traces."""
    write_diary(spec)
    check_sanity(tempdir)
    if spec.seconds:
        time.sleep(spec.seconds)
    if spec.trouble == "none":
        return fine(spec)
    given = _ACTS[spec.trouble](spec, tempdir)
    return fine(spec) if given is None and spec.trouble in LIVES else cast("Output", given)


def fine(spec: Input, **more: Any) -> Output:
    """The output of a spec without trouble."""
    return Output(**{"value": float(spec.sort_index), **more})


def write_diary(spec: Input) -> None:
    """One line a run, whole even when many write."""
    if spec.diary:
        descriptor = os.open(spec.diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{spec.sort_index}\n".encode())
        os.close(descriptor)


def check_sanity(tempdir: Path) -> None:
    """The process is as a spec may expect it."""
    assert not list(tempdir.iterdir()), "the temporary folder is not empty"
    assert Path.cwd() == Path(__file__).parent, "somewhere else"
    assert "TROUBLE" not in os.environ, "the environment changed"
    assert os.environ.get("HOME"), "the environment changed"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "a signal handler changed"
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, "an alarm is set"
    assert sys.stdin.read() == "", "stdin is no empty file"
    assert os.path.sameopenfile(1, 2) and stat.S_ISREG(os.fstat(1).st_mode), "output goes elsewhere"
    check_settings()
    assert [thread.name for thread in threading.enumerate()] == ["MainThread", "scythe-sender"]
    assert oct(os.umask(0o22)) == oct(0o22), "the umask changed"
    print("a line of a spec that starts sane")


_CLOCKS = (time.monotonic, time.perf_counter, time.time, time.sleep)
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
_USUAL = [*map(resource.getrlimit, _LIMITS)]
_PATH = [*sys.path]
_HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGQUIT, signal.SIGXFSZ, signal.SIGSEGV)}


def check_settings() -> None:
    """The same of what Python and the kernel keep for it."""
    assert (time.monotonic, time.perf_counter, time.time, time.sleep) == _CLOCKS, "the clocks were replaced"
    assert time.tzname[0] != "TRB", "it is somewhere else"
    assert sys.gettrace() is None, "it is traced"
    assert sys.getprofile() is None, "it is profiled"
    assert sys.getrecursionlimit() >= 1000, "nothing may call anything"
    assert set(_PATH) <= set(sys.path), "modules cannot be found"
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == signal.getitimer(signal.ITIMER_PROF)[0] == 0, "an alarm is set"
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()), "signals are blocked"
    assert {number: signal.getsignal(number) for number in _HANDLERS} == _HANDLERS, "a signal handler changed"
    assert [*map(resource.getrlimit, _LIMITS)] == _USUAL, "there are limits"
    assert os.getpriority(os.PRIO_PROCESS, 0) == os.getpriority(os.PRIO_PROCESS, os.getppid()), "others go first"
    assert Path(tempfile.gettempdir()).is_dir(), "there is nowhere for temporary files"


# what fails


@fails("exception")
def raises(spec: Input, tempdir: Path) -> Any:
    raise ValueError("on purpose")


@fails("exception")
def raises_ten_megabytes(spec: Input, tempdir: Path) -> Any:
    raise ValueError("x" * 10_000_000)


class NoText(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@fails("exception")
def raises_without_text(spec: Input, tempdir: Path) -> Any:
    raise NoText


class NoPickle(Exception):
    """Cannot be pickled."""

    def __init__(self, lock: object) -> None:
        super().__init__("not to be pickled")
        self.lock = lock

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


@fails("exception")
def raises_unpicklable(spec: Input, tempdir: Path) -> Any:
    raise NoPickle(threading.Lock())


@fails("exception")
def raises_of_a_class_with_a_long_name(spec: Input, tempdir: Path) -> Any:
    raise type("X" * 10_000_000, (Exception,), {})("on purpose")


class Text(str):
    """Cannot be written."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        raise RuntimeError("no bytes")


class WithText(Exception):
    """Its text is of a class of its own."""

    def __str__(self) -> str:
        return Text("on purpose")


@fails("exception")
def raises_with_text_of_its_own(spec: Input, tempdir: Path) -> Any:
    raise WithText


class NoName(type):
    """Classes that will not say what they are called."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]  # the trouble
        raise RuntimeError("no name")


class Nameless(Exception, metaclass=NoName):
    """Nor what it is, nor where it was raised."""

    def __str__(self) -> Any:
        return 3  # noqa: PLE0307 - the trouble

    @property  # type: ignore[misc]  # the trouble
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]  # the trouble
        raise RuntimeError("no traceback")


@fails("exception")
def raises_what_will_not_be_described(spec: Input, tempdir: Path) -> Any:
    raise Nameless


@fails("exception")
def raises_a_group(spec: Input, tempdir: Path) -> Any:
    raise ExceptionGroup("many", [ValueError(str(n)) for n in range(1000)])


@fails("exception")
def raises_surrogates(spec: Input, tempdir: Path) -> Any:
    raise ValueError("half a character: \ud800")


@fails("exception")
def raises_a_chain(spec: Input, tempdir: Path) -> Any:
    error: Exception = ValueError("first")
    for n in range(300):
        after = ValueError(str(n))
        after.__cause__ = error
        error = after
    raise error


@fails("exception")
def never_stops_calling(spec: Input, tempdir: Path) -> Any:
    return never_stops_calling(spec, tempdir)


@fails("exception")
def exits(spec: Input, tempdir: Path) -> Any:
    sys.exit(3)


@fails("exception")
def interrupts(spec: Input, tempdir: Path) -> Any:
    raise KeyboardInterrupt


@fails("exception")
def input_refused(spec: Input, tempdir: Path) -> Any:
    Input(seconds="long")
    return None


@fails("crash")
def exits_hard(spec: Input, tempdir: Path) -> Any:
    os._exit(0)


@fails("crash")
def dies_within_a_line(spec: Input, tempdir: Path) -> Any:
    sys.stdout.write("half a line")
    os._exit(0)


@fails("crash")
def segfaults(spec: Input, tempdir: Path) -> Any:
    ctypes.string_at(8)


@fails("crash")
def kills_itself(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


@fails("crash")
def ends_by_a_nameless_signal(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getpid(), 40)


def kills_its_parent(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(FOREVER)


def stops_its_parent(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(FOREVER)


_ACTS |= {"kills_its_parent": kills_its_parent, "stops_its_parent": stops_its_parent}


@fails("crash")
def aborts(spec: Input, tempdir: Path) -> Any:
    os.abort()


@fails("crash")
def closes_every_descriptor(spec: Input, tempdir: Path) -> Any:
    os.closerange(0, 4096)


def sockets() -> list[int]:
    """The descriptors of this process that are sockets."""
    return [number for number in range(256) if Path(f"/proc/self/fd/{number}").is_socket()]


@fails("crash")
def writes_to_every_descriptor(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.write(number, b"garbage" * 100)
    return fine(spec)


@fails("crash")
def writes_what_looks_like_a_message(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.write(number, wire.pack({"rows": None, "listed": [spec.sort_index]}))
    return fine(spec)


@fails("crash")
def writes_half_a_message(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.write(number, wire.pack({"rows": None, "listed": []})[:-1])
    return fine(spec)


@fails("crash")
def closes_its_connection_and_lives_on(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.close(number)
    time.sleep(FOREVER)


@fails("lost")
def closes_its_connection(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        os.close(number)
    return fine(spec)


@lives
def will_not_hear_any_more(spec: Input, tempdir: Path) -> Any:
    for number in sockets():
        socket.socket(fileno=os.dup(number)).shutdown(socket.SHUT_RD)
    return fine(spec)


@fails("crash")
def segfaults_in_a_thread(spec: Input, tempdir: Path) -> Any:
    thread = threading.Thread(target=ctypes.string_at, args=(8,))
    thread.start()
    thread.join()


@fails("timeout")
def holds_the_gil(spec: Input, tempdir: Path) -> Any:
    ctypes.PyDLL(None).sleep(int(FOREVER))


@fails("timeout")
def sleeps(spec: Input, tempdir: Path) -> Any:
    time.sleep(FOREVER)


@fails("timeout")
def waits_for_an_endless_tree(spec: Input, tempdir: Path) -> Any:
    start_tree(spec)
    time.sleep(FOREVER)


@fails("timeout")
def ignores_signals(spec: Input, tempdir: Path) -> Any:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(FOREVER)


@fails("timeout")
def stops_itself(spec: Input, tempdir: Path) -> Any:
    os.kill(os.getpid(), signal.SIGSTOP)


@fails("timeout")
def prints_for_ever(spec: Input, tempdir: Path) -> Any:
    print("the head")
    while True:
        os.write(1, b"y" * 65536 + b"\n")


@fails("memory")
def allocates(spec: Input, tempdir: Path) -> Any:
    held = []
    while True:
        held.append(bytearray(os.urandom(1)) * (50 << 20))


@fails("memory")
def allocates_at_once(spec: Input, tempdir: Path) -> Any:
    return bytearray(b"x") * (10 << 30)


@fails("memory")
def has_a_child_allocate(spec: Input, tempdir: Path) -> Any:
    subprocess.run([sys.executable, "-c", "x = bytearray(b'x') * (3 << 30); import time; time.sleep(99)"], check=False)
    time.sleep(FOREVER)


@fails("memory")
def has_a_thread_allocate(spec: Input, tempdir: Path) -> Any:
    thread = threading.Thread(target=has_a_child_allocate, args=(spec, tempdir), daemon=True)
    thread.start()
    thread.join()


@fails("invalid_output")
def returns_none(spec: Input, tempdir: Path) -> Any:
    return None


@fails("invalid_output")
def returns_another_type(spec: Input, tempdir: Path) -> Any:
    return {"value": 1.0}


@fails("invalid_output")
def returns_out_of_bounds(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0)


@fails("invalid_output")
def makes_out_of_bounds(spec: Input, tempdir: Path) -> Any:
    return Output(value=-1.0)


@fails("invalid_output")
def returns_a_wrong_field(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.__dict__["value"] = "many"
    return output


@fails("invalid_output")
def returns_nan_where_forbidden(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=float("nan"))


@fails("invalid_output")
def returns_infinity_where_forbidden(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=float("inf"))


@fails("invalid_output")
def returns_a_missing_file(spec: Input, tempdir: Path) -> Any:
    return fine(spec, report=tempdir / "nothing.txt")


@fails("invalid_output")
def returns_no_table(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = object()
    return output


@fails("invalid_output")
def returns_what_its_validator_explodes_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="explode")


@fails("invalid_output")
def returns_what_its_validator_exits_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="exit")


@fails("crash")
def returns_what_its_validator_exits_hard_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="exit hard")


@fails("timeout")
def returns_what_its_validator_hangs_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="hang")


@fails("invalid_output")
def returns_what_its_validator_forks_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="fork")


class Shy:
    """A value that is asked for its text and answers as it was told to."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer

    def __str__(self) -> str:
        return str(self.answer())


@lives
def returns_a_value_with_text_of_its_own(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: "text"))


@fails("invalid_output")
def returns_a_value_that_raises(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: 1 / 0))


@fails("invalid_output")
def returns_a_value_that_exits(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(sys.exit))


@fails("crash")
def returns_a_value_that_exits_hard(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: os._exit(4)))


@fails("timeout")
def returns_a_value_that_hangs(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: time.sleep(FOREVER)))


@fails("crash")
def takes_a_while_and_returns_a_value_that_exits_hard(spec: Input, tempdir: Path) -> Any:
    time.sleep(0.1)
    return returns_a_value_that_exits_hard(spec, tempdir)


class Hostile:
    """A table that does what it wants when it is read."""

    def __arrow_c_stream__(self, schema: object = None) -> object:
        raise KeyError("hostile")


@fails("exception")
def returns_a_hostile_table(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = Hostile()
    return output


@fails("timeout")
def returns_a_table_that_hangs(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = type("Slow", (), {"__arrow_c_stream__": lambda *_: time.sleep(FOREVER)})()
    return output


# what succeeds


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


_HELD: list[Any] = []


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
def returns_nan_where_allowed(spec: Input, tempdir: Path) -> Any:
    return fine(spec, free=float("nan"))


@lives
def returns_infinity_where_allowed(spec: Input, tempdir: Path) -> Any:
    return fine(spec, free=float("-inf"))


@lives
def returns_a_file(spec: Input, tempdir: Path) -> Any:
    path = tempdir / "report.txt"
    path.write_text("well done")
    return fine(spec, report=path)


@lives
def returns_a_table(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = pa.table({"month": [1, 2, 3]})
    return output


@lives
def lowers_its_limits(spec: Input, tempdir: Path) -> Any:
    used = int(time.process_time()) + 1
    for number, limit in zip(_LIMITS, (4 << 30, used, 0, 64), strict=True):
        resource.setrlimit(number, (limit, resource.getrlimit(number)[1]))


@lives
def gives_way_to_others(spec: Input, tempdir: Path) -> Any:
    os.nice(5)


@lives
def blocks_signals(spec: Input, tempdir: Path) -> Any:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


@lives
def replaces_rare_handlers(spec: Input, tempdir: Path) -> Any:
    for number in _HANDLERS:
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
    frozen = {id(clock): value for clock, value in zip(_CLOCKS, (5.0, 5.0, float("nan"), None), strict=True)}
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
    _thread.start_new_thread(lambda: (_CLOCKS[-1](0.2), os._exit(7)), ())


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


def start_tree(spec: Input) -> None:
    """A child in a session of its own, with a child of its own in another."""
    script = f"setsid sleep {spec.tag} & exec sleep {spec.tag}"
    subprocess.Popen(["sh", "-c", script], start_new_session=True)
    time.sleep(0.1)


@ExperimentRegistry.Register()
def without_tempdir(spec: Input) -> Output:
    """Leave no place for temporary files, as the spec says; find it again."""
    tempfile.TemporaryFile().close()
    if spec.trouble != "none":
        shutil.rmtree(tempfile.gettempdir())
    return fine(spec)


@ExperimentRegistry.Register()
def second_time(spec: Input) -> Output:
    """Fail as the spec says the first time it runs, and not the second."""
    write_diary(spec)
    if Path(spec.diary).read_text().splitlines().count(str(spec.sort_index)) == 1 and spec.trouble != "none":
        _ACTS[spec.trouble](spec, Path())
    return fine(spec)


@ExperimentRegistry.Register()
def steady(spec: Input, tempdir: Path) -> Output:
    """Take a while and give a bit of everything, always the same."""
    write_diary(spec)
    time.sleep(spec.seconds)
    output = fine(spec, text=f"spec {spec.sort_index}")
    if spec.sort_index % 3 == 0:
        output.dataframes["monthly"] = pa.table({"month": [1, 2], "value": [float(spec.sort_index), 0.5]})
    if spec.sort_index % 5 == 0:
        output.report = tempdir / "report.txt"
        output.report.write_text(f"report {spec.sort_index}")
    return output
