"""The job scripts of the page about clusters: each is what its batch system and a shell can read."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from docpages import ROOT
from ruamel.yaml import YAML

from scythe_cli.core.units import parse_duration

PAGE = (ROOT / "docs/how-to/without-a-server.md").read_text()
DIRECTIVES = {"run.pbs": "#PBS ", "run.lsf": "#BSUB ", "run.sge": "#$ "}


def block(title: str) -> str:
    """A file of the page."""
    found = re.search(rf'```\w+ title="{re.escape(title)}"\n(.*?)```', PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def options(words: list[str]) -> dict[str, str]:
    """The options of `scythe worker`."""
    return dict(zip(words[2::2], words[3::2], strict=True))


@pytest.mark.parametrize("name", DIRECTIVES)
def test_a_script_of_four_lines(name: str) -> None:
    lines = block(name).splitlines()
    assert len(lines) == 4
    directives = [line.removeprefix(DIRECTIVES[name]) for line in lines if line.startswith(DIRECTIVES[name])]
    assert all(shlex.split(line)[0].startswith("-") for line in directives)
    text = "\n".join(directives)
    assert re.search(r"(ncpus=|-n |smp )8\b", text)
    assert re.search(r"0?4:00(:00)?", text)
    assert re.search(r"0-19|1-20", text)
    subprocess.run(["bash", "-n"], input=block(name), text=True, check=True)
    command = shlex.split(lines[-1])
    assert command[:3] == ["exec", "scythe", "worker"]
    given = options(command[1:])
    assert given == {"--run": "RUN", "--workers": "8", "--until": "3h50m"}
    assert parse_duration(given["--until"]) < 4 * 3600


def test_the_job_of_kubernetes() -> None:
    job = YAML(typ="safe").load(block("job.yaml"))
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert (job["kind"], job["apiVersion"]) == ("Job", "batch/v1")
    assert container["command"] == ["scythe", "worker", "--run", "RUN"]
