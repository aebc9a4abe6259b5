"""The deployment files of the how-to parse, drain before they kill, and start what exists."""

from __future__ import annotations

import configparser
import inspect
import json
import re
import shlex
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from scythe_cli.cli.commands import worker

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
DEPLOY = HOW_TO / "deploy"


def flags(command: list[str]) -> set[str]:
    at = next(at for at, word in enumerate(command) if word.endswith("scythe"))
    assert command[at + 1] == "worker"
    return {word for word in command[at:] if word.startswith("--")}


def test_every_file_is_linked_and_every_link_leads_to_a_file() -> None:
    linked = set(re.findall(r"\(deploy/([^)]+)\)", (HOW_TO / "hatchet.md").read_text()))
    assert linked == {file.name for file in DEPLOY.iterdir()}


def test_systemd_drains_the_worker_alone() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(DEPLOY / "scythe-worker.service")
    service = unit["Service"]
    assert flags(shlex.split(service["ExecStart"])) == {"--name"}
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 30
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_the_slurm_script_is_a_script() -> None:
    script = DEPLOY / "slurm-array.sh"
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script.read_text(), re.MULTILINE))
    assert options["signal"].startswith("B:TERM@")
    assert options["array"]


def test_aws_batch_gives_the_token_as_a_secret() -> None:
    job = json.loads((DEPLOY / "aws-batch.json").read_text())
    container = job["containerProperties"]
    assert flags(container["command"]) == {"--slots"}
    assert "HATCHET_CLIENT_TOKEN" in {secret["name"] for secret in container["secrets"]}
    assert "HATCHET_CLIENT_TOKEN" not in {variable["name"] for variable in container["environment"]}


def test_kubernetes_waits_for_the_drain() -> None:
    deployment = YAML(typ="safe").load((DEPLOY / "kubernetes.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["kind"] == "Deployment"
    assert pod["terminationGracePeriodSeconds"] > 30
    assert flags(pod["containers"][0]["command"]) == {"--slots", "--json"}
    assert deployment["spec"]["selector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_the_flags_are_the_commands() -> None:
    given = set(inspect.signature(worker.worker).parameters)
    used = {"--slots", "--name", "--json"}
    assert {flag.removeprefix("--") for flag in used} <= given | {"json"}
