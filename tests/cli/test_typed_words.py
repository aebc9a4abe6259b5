"""What people type: words of other tools, `-V`, completion, `python -m scythe_cli`, a function without a file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import FILE, MODULE, SCYTHE, Done, environment, project, runs, scythe

from scythe_cli import __version__
from scythe_cli.cli import app
from scythe_cli.cli.known_words import OURS

TABLE = "x,how\n1,well\n2,badly\n3,well\n"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """A command in this process, in a folder."""

    def call(*arguments: str, cwd: Path) -> Done:
        monkeypatch.chdir(cwd)
        code = app.run(arguments)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return call


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("run", "scythe allocate"),
        ("ls", "scythe status"),
        ("list", "scythe status"),
        ("logs", "scythe show RUN SORT_INDEX --log"),
        ("retry", "scythe allocate --resume RUN"),
        ("validate", "scythe allocate --dry-run"),
        ("watch", "scythe status RUN --watch"),
        ("rm", "scythe remove RUN"),
    ],
)
def test_words_of_other_tools(said: Callable[..., Done], tmp_path: Path, word: str, ours: str) -> None:
    done = said(word, "something", cwd=tmp_path)
    assert done.end == (2, "", f"error: {word!r} is not a command. Did you mean {ours!r}?\nhint: scythe --help\n")


def test_no_word_of_other_tools_is_a_command_of_ours() -> None:
    assert set(OURS) & set(app.COMMANDS) == set()


def test_the_version(said: Callable[..., Done], tmp_path: Path) -> None:
    assert said("-V", cwd=tmp_path).out == said("--version", cwd=tmp_path).out == f"scythe {__version__}\n"


def test_the_package_is_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scythe_cli", "-V"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"scythe {__version__}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a function and a table, and no experiment file, after a run of both."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "doubles.py").write_text(MODULE)
    (folder / "cases.csv").write_text(TABLE)
    done = scythe("allocate", "doubles:double", "cases.csv", "--set", "run.max_failures=all", cwd=folder)
    assert done.code == 1, done.err
    assert "double v1.0.0: 3 specs valid" in done.err
    return folder


def test_a_function_needs_no_file(home: Path) -> None:
    (run,) = runs(home, "double")
    assert (run / "final" / "scalars.pq").is_file()
    assert not (home / "experiment.yml").exists()


def test_a_function_and_fewer_specs(said: Callable[..., Done], home: Path) -> None:
    done = said("allocate", "doubles.py:double", "cases.csv", "-n", "1", "--dry-run", cwd=home)
    assert (done.code, "1 of" in done.out or "1 spec" in done.out) == (0, True), done.err


def test_the_spec_of_a_run_without_a_file_runs_alone(said: Callable[..., Done], home: Path) -> None:
    done = said("show", "double", "1", cwd=home)
    assert done.err == "next: scythe allocate doubles:double cases.csv --only 1 --inline\n"
    alone = scythe("allocate", "doubles:double", "cases.csv", "--only", "0", "--inline", "--json", cwd=home)
    assert (alone.code, '"double": 2.0' in alone.out) == (0, True), alone.err


def test_a_run_without_a_file_is_resumed(home: Path) -> None:
    done = scythe("allocate", "doubles:double", "--resume", "double", cwd=home)
    assert (done.code, "1 failed before" in done.err) == (1, True), done.err


def test_what_is_missing_beside_a_function(said: Callable[..., Done], home: Path) -> None:
    done = said("allocate", "doubles:double", cwd=home)
    assert (done.code, "specs is missing" in done.err) == (2, True)
    assert "hint: scythe allocate doubles:double specs.csv\n" in done.err
    done = said("allocate", "doubles:dubble", "cases.csv", cwd=home)
    assert (done.code, "Did you mean 'double'?" in done.err) == (2, True)
    done = said("allocate", "doubles:double", "cases.csv", "--resume", "double", cwd=home)
    assert (done.code, "SPECS cannot be used with --resume" in done.err) == (2, True)


def test_a_table_in_place_of_that_of_the_file(said: Callable[..., Done], tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "more.csv").write_text("x\n" + "1\n" * 7)
    done = said("allocate", "experiment.yml", "more.csv", "--dry-run", cwd=folder)
    assert (done.code, "7 specs" in done.out + done.err) == (0, True), done.err


def completed(cwd: Path, line: str) -> list[str]:
    """What bash would offer after a line."""
    words = line.split(" ")
    asked = {"_SCYTHE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run([SCYTHE], cwd=cwd, env=environment(**asked), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_commands_options_and_runs_are_completed(home: Path) -> None:
    (run,) = runs(home, "double")
    assert completed(home, "scythe sh") == ["show"]
    assert {"--slowest", "--failed", "--where"} <= set(completed(home, "scythe show --"))
    assert completed(home, "scythe show d") == ["double"]
    assert completed(home, "scythe allocate --resume double/v1.0.0/") == [f"double/v1.0.0/{run.name}"]
    assert completed(home, "scythe nonsense ") == []


def test_completion_of_runs_needs_no_right_file(tmp_path: Path) -> None:
    folder = project(tmp_path, file=FILE + "nonsense: 1\n")
    assert completed(folder, "scythe show d") == []


@pytest.mark.parametrize(("shell", "file"), [("bash", ".bash_completions/scythe.sh"), ("zsh", ".zfunc/_scythe")])
def test_completion_is_installed(
    said: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str, file: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/fish")
    done = said("--install-completion", shell, cwd=tmp_path)
    assert (done.code, shell in done.out) == (0, True), done.err
    assert "_SCYTHE_COMPLETE" in (tmp_path / file).read_text()
    assert said("--install-completion", cwd=tmp_path).code == 0
    assert (tmp_path / ".config" / "fish" / "completions" / "scythe.fish").is_file()


def test_a_shell_that_is_not_known(said: Callable[..., Done], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    done = said("--install-completion", "ksh", cwd=tmp_path)
    assert (done.code, "known: bash, zsh, fish" in done.err) == (2, True)
    assert sorted(tmp_path.iterdir()) == before
