"""`scythe` itself: help, version, the exit code and the words of each kind of end, and a quick start."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import project
from command import scythe as forked

from scythe_cli import __version__
from scythe_cli.cli import app
from scythe_cli.errors import EntryPointError, ExitCode, NotFinishedError, ScytheError, StoreError

SCYTHE = str(Path(sys.executable).with_name("scythe"))
HEAVY = {"polars", "pyarrow", "pandas", "numpy", "boto3", "obstore", "hatchet_sdk"}


def scythe(*arguments: str, **given: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCYTHE, *arguments], capture_output=True, text=True, check=False, timeout=60, **given)  # type: ignore[call-overload, no-any-return]  # tests give any


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(arguments: list[str]) -> None:
    done = scythe(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: scythe [OPTIONS] COMMAND [ARGS]...")
    for command, what in app.COMMANDS.items():
        assert f"  {command}" in done.stdout
        assert what in " ".join(done.stdout.split())


@pytest.mark.parametrize("command", app.COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = scythe(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: scythe {command} ")


def test_the_version() -> None:
    done = scythe("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"scythe {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["inti"], "'inti' is not a command. Did you mean 'init'?", "scythe --help"),
        (["--foo"], "No such option: --foo", "scythe --help"),
        (["init", "--foo"], "No such option: --foo (Possible options: --from)", "scythe init --help"),
        (["init", "a", "b"], "Got unexpected extra argument(s) (b)", "scythe init --help"),
        (
            ["init", "--template", "x"],
            "Invalid value for '--template': 'x' is not one of 'minimal', 'energy'.",
            "scythe init --help",
        ),
    ],
)
def test_a_wrong_command_line_is_told_with_the_help_to_read(arguments: list[str], message: str, hint: str) -> None:
    done = scythe(*arguments)
    assert (done.returncode, done.stdout) == (ExitCode.BAD_INPUT, "")
    assert done.stderr == f"error: {message}\nhint: {hint}\n"


@pytest.mark.parametrize(
    ("exception", "code", "told"),
    [
        (
            EntryPointError("exp.py:3  f yields", hint="write `return`"),
            2,
            "error: exp.py:3  f yields\nhint: write `return`\n",
        ),
        (NotFinishedError("cancelled"), 5, "error: cancelled\n"),
        (ScytheError("odd"), 70, "error: odd\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_each_error_has_its_exit_code(
    exception: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise exception

    monkeypatch.setattr("scythe_cli.cli.starter.from_template", fail)
    assert app.run(["init"]) == code
    assert capsys.readouterr() == ("", told)
    monkeypatch.setattr("scythe_cli.storage.open_store.open_store", fail)
    assert app.run(["status", "--json"]) == code
    said = capsys.readouterr()
    assert said.err == told
    message, _, hint = told.removeprefix("error: ").strip().partition("\nhint: ")
    assert json.loads(said.out) == {"error": {"message": message, "hint": hint or None, "exit_code": code}}


def test_no_document_has_a_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object) -> None:
        raise StoreError("http://ada:s3cretpw@minio:9000 is away", hint="look at https://h/x?sig=s3cretpw")

    monkeypatch.setattr("scythe_cli.storage.open_store.open_store", fail)
    assert app.run(["status", "--json"]) == ExitCode.UNREACHABLE
    said = capsys.readouterr()
    assert "s3cretpw" not in said.out + said.err
    told = json.loads(said.out)["error"]
    assert said.err == f"error: {told['message']}\nhint: {told['hint']}\n"


def test_a_wrong_command_line_with_json_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status", "--json", "--foo"], ["gather", "a", "b", "--json"], ["stats", "--json"]):
        assert app.run(arguments) == ExitCode.BAD_INPUT
        said = capsys.readouterr()
        told = json.loads(said.out)["error"]
        assert said.err == f"error: {told['message']}\nhint: {told['hint']}\n"
    assert app.run(["stats", "--", "--json"]) == ExitCode.BAD_INPUT
    assert capsys.readouterr().out == ""


def test_a_bug_leaves_a_trace_file_and_no_traceback_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("scythe_cli.cli.starter.from_template", lambda *_: dict[str, str]()["missing"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert app.run(["init", "somewhere"]) == ExitCode.BUG
    (trace,) = tmp_path.iterdir()
    assert capsys.readouterr().err == (
        f"error: this is a bug in scythe: KeyError: 'missing'\nhint: please report it with {trace}\n"
    )
    assert "scythe init somewhere" in trace.read_text()
    assert trace.read_text().rstrip().endswith("KeyError: 'missing'")


def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run([SCYTHE, "--help"], stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_help_imports_nothing_heavy() -> None:
    assert imported("--help", cwd=Path()) & {*HEAVY, "rich", "pydantic", "ruamel"} == set()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run of three specs."""
    folder = project(tmp_path_factory.mktemp("small"))
    assert forked("allocate", cwd=folder).code == 0
    return folder


def test_status_imports_nothing_heavy(small: Path) -> None:
    """A run whose parts are dense is counted from names."""
    for arguments in (["status"], ["status", "doubles"]):
        assert imported(*arguments, cwd=small) & {*HEAVY, "rich"} == set()


def imported(*arguments: str, cwd: Path) -> set[str]:
    """The packages that a command imports."""
    code = "import sys; from scythe_cli.cli import app; app.run(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=cwd)
    return set(done.stdout.splitlines()[-1].split())


def test_help_and_status_are_quick(small: Path) -> None:
    """CPU against that of importing what each needs, the least of a few, so that a busy machine does not fail it."""

    def least(*command: str) -> float:
        spent = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, capture_output=True, check=True, cwd=small)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(spent)

    libraries = "import typer, rich"
    assert least(SCYTHE, "--help") < 1.5 * least(sys.executable, "-c", libraries)
    models = f"{libraries}, pydantic; pydantic.TypeAdapter(int)"  # which Pythons load at very different speeds
    assert least(SCYTHE, "status") < 3 * least(sys.executable, "-c", models)


def test_a_folder_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["sh", "-c", 'rmdir "$PWD" && exec "$0" status', SCYTHE]
    done = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr == "error: the current folder does not exist any more\nhint: cd to a folder that exists\n"


def test_a_system_that_starts_no_thread_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("scythe_cli.cli.starter.from_template", refuse)
    assert app.run(["init", "somewhere"]) == ExitCode.UNREACHABLE
    assert capsys.readouterr().err.startswith("error: the system starts no more threads or processes\nhint: ulimit -u")
