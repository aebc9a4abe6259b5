"""`ScytheWorkerConfig`: its fields, where they come from, and what `start` serves."""

from typing import Any

import pytest
from pydantic import ValidationError

from scythe_cli import ExperimentRegistry, ScytheWorkerConfig, ScytheWorkerLabel
from scythe_cli.core.machine import cores
from scythe_cli.engines.hatchet.worker import worker
from scythe_cli.engines.hatchet.worker.worker_settings import WorkerSettings
from scythe_cli.errors import ConfigError
from scythe_cli.experiment.setting_sources import from_options


def test_the_defaults() -> None:
    config = ScytheWorkerConfig()
    assert (config.DOES_FAN, config.DOES_LEAF, config.SLOTS, config.NAME) == (True, True, None, None)
    assert config.labels == {}
    assert config.computed_slots == cores()
    assert config.computed_durable_slots > 0
    assert config.computed_name


def test_the_environment_and_arguments_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCYTHE_WORKER_SLOTS", "3")
    monkeypatch.setenv("SCYTHE_WORKER_DOES_FAN", "false")
    monkeypatch.setenv("SCYTHE_WORKER_HIGH_MEMORY", "true")
    assert ScytheWorkerConfig().model_dump(include={"SLOTS", "DOES_FAN", "HIGH_MEMORY"}) == {
        "SLOTS": 3,
        "DOES_FAN": False,
        "HIGH_MEMORY": True,
    }
    assert ScytheWorkerConfig(SLOTS=5).computed_slots == 5


def test_labels_are_those_of_scythe_engine() -> None:
    assert ScytheWorkerConfig(HIGH_MEMORY=True, HAS_GPU=True).labels == {"high_memory": "yes", "has_gpu": "yes"}
    assert ScytheWorkerLabel.HIGH_CPU.yes == "yes"


def test_a_wrong_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="SLOT"):
        ScytheWorkerConfig(SLOT=2)  # type: ignore[call-arg]


def test_a_label_of_the_enum_asks_for_workers() -> None:
    labels = {**ScytheWorkerLabel.HIGH_MEMORY.worker_label, **ScytheWorkerLabel.HAS_GPU.worker_label}
    found = {path[1]: given.value for path, given in from_options({"desired_worker_labels": labels}).items()}
    assert found == {"high_memory": True, "has_gpu": True}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `start` hands to the worker."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(worker, "serve_registered", lambda settings: found.update(settings=settings))
    return found


def test_start_serves_with_these_settings(served: dict[str, Any]) -> None:
    ScytheWorkerConfig(NAME="one", SLOTS=2, HIGH_CPU=True, DOES_FAN=False).start()
    settings: WorkerSettings = served["settings"]
    assert (settings.name, settings.slots, settings.roles) == ("one", 2, frozenset({"leaf"}))
    assert settings.labels == {"high_cpu": "true"}
    assert settings.workflow_labels == {"high_cpu": "yes"}


def test_start_registers_functions_and_takes_workflows(served: dict[str, Any]) -> None:
    def later() -> None: ...

    workflow = object()
    ScytheWorkerConfig().start(experiments=[later], additional_workflows=[workflow])
    assert later in ExperimentRegistry.functions()
    assert served["settings"].workflows == (workflow,)


def test_a_worker_of_no_role_is_refused(served: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="both off"):
        ScytheWorkerConfig(DOES_FAN=False, DOES_LEAF=False).start()
    assert served == {}
