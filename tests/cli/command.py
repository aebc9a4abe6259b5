"""The installed command and what tests give it: a small experiment, and a look at what it left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import jsonschema

from scythe_cli.cli import app

SCYTHE = str(Path(sys.executable).with_name("scythe"))
SCHEMAS = Path(__file__).parents[2] / "schemas"
_WARM = multiprocessing.get_context("forkserver")
_WARM.set_forkserver_preload(
    [
        *("scythe_cli.cli.commands.allocate", "scythe_cli.cli.progress", "scythe_cli.operations.estimate"),
        *("scythe_cli.operations.inline", "scythe_cli.spec_table.parse_text", "scythe_cli.storage.local"),
        *("command", "pandas", "encodings.utf_8_sig", "getpass", "pwd", "scythe_cli.engines.local"),
    ]
)
NOBODY = 65534
OURS = ("SCYTHE_", "HATCHET_", "AWS_", "NO_COLOR", "FORCE_COLOR", "COLUMNS")

MODULE = '''
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class In(ExperimentInputSpec):
    x: float = Field(ge=0, le=1000, description="What is doubled [-]")
    how: Literal["well", "badly", "slowly"] = "well"

class Out(ExperimentOutputSpec):
    double: float
    note: str | None = None
    count: int | None = None

@ExperimentRegistry.Register()
def double(input_spec: In) -> Out:
    """Double a number."""
    print("doubling", input_spec.x)
    if input_spec.how == "badly":
        raise ValueError(f"cannot double {input_spec.x}\\nneither now nor later")
    while input_spec.how == "slowly" and not Path(__file__).with_name("go").exists():
        time.sleep(0.01)
    return Out(double=2 * input_spec.x)
'''
FILE = """\
experiment: doubles:double
specs: specs.csv
name: doubles
run: {retries: 0, workers: 2, grace: 1s}
"""


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def end(self) -> tuple[int, str, str]:
        return self.code, self.out, self.err

    def json(self, name: str) -> Any:
        """The one document on stdout, as its schema describes it."""
        document = json.loads(self.out)
        check(document, name)
        return document


def check(document: Any, name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.validate(document, schema)
    assert set(document) == set(schema["properties"])


def environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | more


def installed(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None, stdin: str = "") -> Done:
    """Run the installed command to its end, without a terminal."""
    done = subprocess.run(
        [SCYTHE, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def scythe(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None, as_nobody: bool = False) -> Done:
    """The same from a process that has the libraries imported already and forks, which is several times as quick."""
    with TemporaryDirectory() as folder:
        out, err, code = Path(folder, "out"), Path(folder, "err"), Path(folder, "code")
        code.touch(0o666)
        process = _WARM.Process(
            target=_run,
            args=([*map(str, arguments)], cwd, environment(**(env or {})), str(out), str(err), str(code), as_nobody),
        )
        process.start()
        process.join(100)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"scythe {arguments} has not ended: {out.read_text()} {err.read_text()}")
        # threads that start processes and wait for others may read one's end twice, and take the second for 255
        told = code.read_text()
        return Done(int(told) if told else process.exitcode, out.read_text(), err.read_text())


def _run(arguments: list[str], cwd: Path, env: dict[str, str], out: str, err: str, code: str, as_nobody: bool) -> None:
    for stream, path in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(path, os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT), stream)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.stdin = open(0)  # noqa: SIM115 - multiprocessing gave it another
    sys.argv = [SCYTHE, *arguments]
    sys.path[0] = str(Path(SCYTHE).parent)
    told = os.open(code, os.O_WRONLY)
    if as_nobody and os.geteuid() == 0:  # root may do everything
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    leave = os._exit

    def record_and_leave(status: int) -> NoReturn:
        os.write(told, str(status).encode())
        leave(status)

    os._exit = record_and_leave  # how the command ends
    app.main()


def together(commands: dict[str, tuple[list[str], Path]], *, at_once: int = 3) -> dict[str, Done]:
    """Run commands side by side: what each is called -> its arguments and folder."""
    with ThreadPoolExecutor(at_once) as pool:
        return dict(zip(commands, pool.map(lambda one: scythe(*one[0], cwd=one[1]), commands.values()), strict=True))


def project(folder: Path, specs: str = "x\n1\n2\n3\n", *, module: str = MODULE, file: str = FILE) -> Path:
    """An experiment in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "doubles.py").write_text(module)
    (folder / "experiment.yml").write_text(file)
    (folder / "specs.csv").write_text(specs)
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder below, and what the files hold; but for what Python compiles for itself."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


def runs(folder: Path, name: str = "doubles") -> list[Path]:
    """The folders of the runs in a project, in order of their names."""
    return sorted(path.parent for path in (folder / "scythe-runs" / name).glob("*/*/manifest.yml"))
