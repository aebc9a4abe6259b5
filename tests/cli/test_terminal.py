"""What a person at a terminal sees, at several widths, and what nobody sees where there is none."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import SCYTHE, environment, project, runs, scythe
from rich.console import Console
from signals import inherited

from scythe_cli.cli import progress
from scythe_cli.cli.views.text_table import wrapped
from scythe_cli.core import events

pytestmark = pytest.mark.slow
SOME_FAIL = "x,how\n" + "".join(f"{at},{'badly' if at == 3 else 'well'}\n" for at in range(9))
TOKENS = re.compile(r"\n|\r|\x1b\[[0-9;?]*[A-Za-z]|[^\x1b\r\n]+|\x1b.")
COLOURS = re.compile(r"\x1b\[[0-9;]*[1-9][0-9;]*m")
BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}"


@dataclass
class Screen:
    """What a command wrote to its terminal.

    Attributes:
        raw: every byte, as text.
    """

    code: int
    raw: str

    @property
    def lines(self) -> list[str]:
        """What stood on the screen at last, without colours; of what moves the cursor, only what rich uses."""
        rows, at = [""], 0
        for token in TOKENS.findall(self.raw):
            if token == "\n":
                at += 1
                rows += [""] * (at + 1 - len(rows))
            elif token in {"\r", "\x1b[2K"}:
                rows[at] = rows[at] if token == "\r" else ""
            elif up := re.fullmatch(r"\x1b\[(\d+)A", token):
                at -= int(up[1])
            elif not token.startswith("\x1b"):
                rows[at] += token
        return [row.rstrip() for row in rows if row.strip()]


def at_terminal(
    *arguments: str, cwd: Path, columns: int = 100, env: dict[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the installed command at a terminal of its own, whose other end is the second."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [SCYTHE, *arguments], cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=environment(TERM="xterm-256color", **(env or {})),
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no other thread forks here
    )  # fmt: skip
    os.close(theirs)
    return process, ours


def watched(
    *arguments: str,
    cwd: Path,
    columns: int = 100,
    env: dict[str, str] | None = None,
    keys: dict[str, bytes] | None = None,
) -> Screen:
    """Run the installed command at a terminal; `keys` maps what appears there to what is typed then."""
    process, ours = at_terminal(*arguments, cwd=cwd, columns=columns, env=env)
    seen, waiting, deadline = b"", dict(keys or {}), time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([ours], [], [], 1)
        if ready:
            try:
                seen += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
        for word in [word for word in waiting if word.encode() in seen]:
            os.write(ours, waiting.pop(word))
    os.close(ours)
    return Screen(process.wait(10), seen.decode())


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Screen]:
    folder = project(tmp_path_factory.mktemp("seen"), SOME_FAIL)
    return folder, watched("allocate", cwd=folder)


def test_the_bar_stays_with_its_last_state(seen: tuple[Path, Screen]) -> None:
    folder, screen = seen
    (run,) = runs(folder)
    assert screen.code == 1
    told = screen.lines
    assert told[0] == "doubles v1.0.0: 9 specs valid"
    assert told[1] == f"run  doubles/v1.0.0/{run.name}   local, 2 workers"
    assert re.fullmatch(rf"{BAR}{{30}} 9/9   1 failed   [\d.]+/(s|min)   0:00:\d\d", told[2])
    assert re.fullmatch(r"8 succeeded, 1 failed in \d+(\.\d)? s", told[3])
    assert told[4:] == [
        f"  scalars  8 rows  scythe-runs/doubles/v1.0.0/{run.name}/final/scalars.pq",
        "  errors   1 row   .../final/errors.pq",
        "  in Python  scythe_cli.open_run('doubles').scalars(tidy=True)",
        "1x ValueError: cannot double 3.0 in double (doubles.py:23), spec 3",
        "report: scythe report doubles",
        "next: scythe status doubles --errors",
    ]
    assert COLOURS.search(screen.raw)


def test_nothing_is_drawn_where_nobody_watches(seen: tuple[Path, Screen]) -> None:
    folder, _ = seen
    done = scythe("allocate", cwd=folder, env={"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"})
    assert BAR not in done.err + done.out
    assert "\r" not in done.err + done.out


def test_no_color_has_a_bar_and_no_colour(seen: tuple[Path, Screen]) -> None:
    folder, _ = seen
    screen = watched("allocate", "--limit", "2", cwd=folder, env={"NO_COLOR": "1"})
    assert screen.code == 0
    assert any(line.startswith(BAR) for line in screen.lines)
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", screen.raw)


def test_ctrl_c_drains_and_a_probe_asks(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,slowly\n3,slowly\n")
    screen = watched("allocate", cwd=folder, keys={"1/3": b"\x03"})
    assert screen.code == 130
    assert "stopping: 2 running specs may take 1.0 s; Ctrl-C again ends them now" in screen.lines
    assert screen.lines[-2:] == [
        "interrupted; 1 of 3 specs are done and kept",
        f"next: scythe allocate --resume doubles/v1.0.0/{runs(folder)[0].name}",
    ]
    agreed = watched("allocate", "--probe", "1", "--limit", "1", cwd=folder, keys={"[y/N]: ": b"y\n"})
    assert (agreed.code, len(runs(folder))) == (0, 2)
    assert "Run all 1 spec? [y/N]: y" in agreed.lines


def test_the_debugger_opens_where_the_function_raised(seen: tuple[Path, Screen]) -> None:
    folder, _ = seen
    screen = watched("allocate", "--only", "3", "--inline", cwd=folder, keys={"(Pdb)": b"p input_spec.x\nq\n"})
    assert screen.code == 1
    assert "3.0" in screen.lines
    assert any(line.endswith("doubles.py(23)double()") for line in screen.lines)


def test_a_table_of_runs_fits_a_narrow_terminal(seen: tuple[Path, Screen]) -> None:
    folder, _ = seen
    wide, narrow = (watched("status", cwd=folder, columns=columns).lines for columns in (100, 50))
    assert wide[0].split() == ["run", "state", "done", "failed", "size", "age", "by"]
    assert narrow[0] == "run"
    assert narrow[1].startswith("  state     done  failed")
    assert narrow[2::2][:1] == [wide[1].split()[0]]
    assert max(map(len, narrow[:-1])) <= 50


@pytest.mark.parametrize("width", [60, 80])
def test_sentences_about_failures_end_between_words(seen: tuple[Path, Screen], width: int) -> None:
    folder, _ = seen
    run = f"doubles/v1.0.0/{runs(folder)[0].name}"
    screen = watched("status", run, "--errors", "--list", cwd=folder, columns=width)
    told = [line for line in screen.raw.replace("\r", "").splitlines() if not line.startswith(("next: ", "  scalars "))]
    assert [
        line for line in told if len(line) > width and line[2:7] not in {"alone", "trace"} and "raise " not in line
    ] == []
    assert "  specs    3" in told


def test_a_long_sentence_is_wrapped_and_a_long_word_is_not() -> None:
    assert wrapped("one two three four", 3, width=9) == ["one two", "   three", "   four"]
    assert wrapped("one two", 3, width=80) == ["one two"]
    assert wrapped("a/very/long/path and more", 2, width=8) == ["a/very/long/path", "  and", "  more"]


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (100, f"{BAR * 30}   123,456/1,234,567   12,345 failed   41,152/s   ETA 0:00:27"),
        (80, f"{BAR * 19}   123,456/1,234,567   12,345 failed   41,152/s   ETA 0:00:27"),
        (60, f"{BAR * 10}   123,456/1,234,567   12,345 failed   ETA 0:00:27"),
        (50, "  123,456/1,234,567   12,345 failed   ETA 0:00:27"),
        (40, "  123,456/1,234,567   12,345 failed"),
        (15, "  123,456/1,23…"),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)  # fmt: skip
def test_the_bar_gives_way_to_the_numbers(width: int, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    terminal = progress.Terminal()
    terminal.watched = False
    terminal.follow(1_234_567)
    terminal(events.Progress(0, 0, 1_234_567))
    now = 103.0
    terminal(events.Progress(123_456, 12_345, 1_234_567))
    console = Console(width=width, legacy_windows=False)
    with console.capture() as told:
        console.print(terminal.line)
    text = told.get().rstrip("\n")
    bar, numbers = text[: -len(line.lstrip(BAR))], line.lstrip(BAR)
    assert (text.endswith(numbers), len(bar)) == (True, line.count(BAR)), text


def test_the_time_goes_on_until_the_first_spec_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    terminal = progress.Terminal()
    terminal.watched = False
    terminal.follow(4)

    def shown() -> str:
        console = Console(width=80, legacy_windows=False)
        with console.capture() as told:
            console.print(terminal.line)
        return told.get().strip().partition(" ")[2]  # after the bar

    terminal(events.Progress(0, 0, 4))
    now = 125.0
    assert shown() == "0/4   0 failed   0:00:25"
    terminal(events.Progress(1, 0, 4))
    now = 126.0
    assert shown() == "1/4   0 failed   2.4/min   ETA 0:01:15"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_so(tmp_path: Path, number: signal.Signals) -> None:
    """`nohup` and a shell's `&` mean it."""
    folder = project(tmp_path, "x,how\n1,well\n2,slowly\n")
    with inherited(number, signal.SIG_IGN):
        process = subprocess.Popen(
            [SCYTHE, "allocate", "--set", "run.flush=10ms"], cwd=folder, env=environment(), stderr=subprocess.PIPE
        )
    while not list(folder.glob("scythe-runs/*/*/*/scatter-gather/output/*/*.pq")):
        assert process.poll() is None
    process.send_signal(number)
    (folder / "go").touch()
    assert (process.communicate(timeout=60), process.returncode)[1] == 0


@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_is_closed_stops_a_run_and_keeps_what_is_done(tmp_path: Path, ignored: bool) -> None:
    """The window goes, or the connection of ssh. Whoever had the command ignore that wants it to go on, unseen."""
    folder = project(tmp_path, "x,how\n" + "1,well\n" * 5 + "2,slowly\n" * 2)
    with inherited(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL):
        process, ours = at_terminal("allocate", cwd=folder)
    seen = b""
    while b"5/7" not in seen:
        seen += os.read(ours, 1 << 16)
    os.close(ours)
    if ignored:
        (folder / "go").touch()
    assert process.wait(60) == (0 if ignored else 130)
    state = scythe("status", "--json", "doubles", cwd=folder).json("status")
    assert (state["state"], state["done"]) == (("gathered", 7) if ignored else ("incomplete", 5))
