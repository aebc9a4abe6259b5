"""What Slurm says, and what it is given."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from scythe_cli.engines.shared.walltime import END_SECONDS, parse_left, walltime_left
from scythe_cli.engines.slurm.commands import Tasks, plain
from scythe_cli.engines.slurm.script import SlurmJob, array_script
from scythe_cli.errors import ConfigError
from scythe_cli.experiment import config
from scythe_cli.experiment.settings import SlurmSettings


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1-02:03:04", 93784.0), ("2:03:04", 7384.0), ("3:04", 184.0), ("UNLIMITED", None), ("", None), ("INVALID", None)],
)
def test_the_time_that_is_left(text: str, seconds: float | None) -> None:
    assert parse_left(text) == seconds


def test_a_process_outside_of_slurm_has_no_walltime() -> None:
    assert walltime_left({}) is None
    assert walltime_left({"SLURM_JOB_ID": "x"}) is None


def test_the_end_that_newer_versions_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert walltime_left({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "4600"}) == 3600 - END_SECONDS


@pytest.mark.parametrize(
    ("reason", "words"),
    [("(Resources)", "waiting for free cores or memory"), ("Strange", "Strange")],
)
def test_reasons_in_plain_words(reason: str, words: str) -> None:
    assert plain(reason) == words


def test_tasks_in_words() -> None:
    assert Tasks({"other jobs are first": 3}, 2).sentence() == "Slurm: 3 pending (other jobs are first), 2 running"


@pytest.mark.parametrize("name", ["$(touch x)", "a b", "it's", '"', "`id`", "a;b", "é"])
def test_a_script_runs_nothing_of_a_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    settings = SlurmSettings(tasks=3, options=[f"--comment={name}"])
    job = SlurmJob(f"{folder}/runs/r/v1.0.0/t", "r/v1.0.0/t", 1, settings, 3, folder, folder / "experiment.yml")
    script = array_script(job)
    directives = [shlex.split(line)[1:] for line in script.splitlines() if line.startswith("#SBATCH")]
    assert [f"--comment={name}"] in directives
    assert [f"--output={folder}/runs/r/v1.0.0/t/logs/slurm-%A_%a.log"] in directives
    shown = script.replace("exec ", "printf '%s\\n' ")
    done = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=True, cwd=tmp_path)
    words = done.stdout.splitlines()
    assert words[words.index("--run") + 1] == f"{folder}/runs/r/v1.0.0/t"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_an_option_of_several_lines_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"slurm\.options"):
        config.parse('experiment: a:b\nslurm: {options: ["--comment=a\\n#SBATCH --uid=0"]}\n')
