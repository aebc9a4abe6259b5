"""A Hatchet workflow that the user wrote, as an experiment: each spec is one run of it.

Input: a `Workflow` or a `Standalone`. Output: a callable that a lane calls like a function. The SDK is not imported
here: where there is a workflow, the user's module has imported it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from scythe_cli.core.clock import sleep_until_killed
from scythe_cli.core.printable import printable
from scythe_cli.experiment.models import ExperimentInputSpec, ExperimentOutputSpec
from scythe_cli.storage.current_run import CURRENT_GENERATION

if TYPE_CHECKING:
    from types import ModuleType

RUN_KEY = "scythe_run"
"""The metadata key of every task on Hatchet that belongs to a run."""


def is_workflow(value: object) -> bool:
    """Whether something is a Hatchet `Workflow` or `Standalone`."""
    sdk = sys.modules.get("hatchet_sdk.runnables.workflow")
    return sdk is not None and isinstance(value, sdk.BaseWorkflow)


def input_model(workflow: Any) -> type[ExperimentInputSpec] | None:
    """The model of its input; None when it is not derived from ours."""
    found = workflow.input_validator_type
    return found if isinstance(found, type) and issubclass(found, ExperimentInputSpec) else None


def output_models(workflow: Any) -> dict[str, type[ExperimentOutputSpec]]:
    """The tasks that return one of our output models, by name."""
    found = {task.name: task.output_validator_type for task in workflow.tasks}
    return {
        name: model
        for name, model in found.items()
        if isinstance(model, type) and issubclass(model, ExperimentOutputSpec)
    }


def module_of(workflow: object) -> tuple[ModuleType, str] | None:
    """The module of a file that has a workflow at its top level, and its name there."""
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) is not None:
            for name, value in vars(module).items():
                if value is workflow:
                    return module, name
    return None


@cache
def _declare(workflow: Any) -> None:
    """Make it known to the engine, which gives an id for a run of an unknown one and silently forgets it."""
    workflow._client._client.admin.put_workflow(workflow.to_proto())


@dataclass(frozen=True)
class WorkflowCall:
    """Runs a workflow with a spec and waits for what one of its tasks returns.

    Attributes:
        workflow: the workflow.
        task: the task whose output counts.
        output_model: its type.
    """

    workflow: Any
    task: str
    output_model: type[ExperimentOutputSpec]

    def __call__(self, spec: ExperimentInputSpec) -> ExperimentOutputSpec:
        """Have the engine run it; looks for the result once a second.

        Raises:
            Exception: the SDK's, when a task failed or the run was cancelled.
            ValidationError: the task's output is not what its model says; `{}` is what the engine has for lost ones.
        """
        _declare(self.workflow)
        at_work = CURRENT_GENERATION.get(None)
        tag = spec.experiment_id if at_work is None else at_work.tag
        ref = self.workflow.run(spec, wait_for_result=False, additional_metadata={RUN_KEY: tag})
        print(printable(f"Hatchet run {ref.workflow_run_id}"))
        try:
            found = ref.result()
            return found if isinstance(found, self.output_model) else self._output(found)
        except Exception:
            if at_work is not None and at_work.is_over():
                sleep_until_killed()  # cancelled with the run, which is not a failure of the spec
            raise

    def _output(self, found: dict[str, Any]) -> ExperimentOutputSpec:
        return self.output_model.model_validate(found.get(self.task) or {})
