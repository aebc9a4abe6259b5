"""A worker's settings come from the environment, and its name from the machine."""

from __future__ import annotations

import pytest

from scythe_cli.engines.hatchet.worker.worker_settings import WorkerSettings
from scythe_cli.errors import ConfigError


def test_the_environment_sets_a_worker() -> None:
    found = WorkerSettings.from_environment(
        {"SCYTHE_WORKER_NAME": "n", "SCYTHE_WORKER_SLOTS": "3", "SCYTHE_WORKER_HAS_GPU": "true"}
        | {"SCYTHE_WORKER_HIGH_CPU": "false", "SCYTHE_WORKER_DOES_FAN": "0", "SCYTHE_WORKER_DURABLE_SLOTS": "7"}
    )
    assert (found.name, found.slots, found.durable_slots) == ("n", 3, 7)
    assert found.labels == {"has_gpu": "true"}
    assert found.roles == {"leaf"}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SCYTHE_WORKER_SLOTS": "many"}, "whole number"),
        ({"SCYTHE_WORKER_HAS_GPU": "perhaps"}, "true or false"),
        ({"SCYTHE_WORKER_SLOT": "3"}, "SCYTHE_WORKER_SLOT is not a setting"),
        ({"SCYTHE_WORKER_DOES_FAN": "no", "SCYTHE_WORKER_DOES_LEAF": "no"}, "do nothing"),
    ],
)
def test_what_makes_no_sense_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WorkerSettings.from_environment(environ)
