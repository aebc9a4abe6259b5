"""`ExperimentRegistry.Include`: Hatchet workflows of the user's own, next to the experiments."""

from __future__ import annotations

from typing import Any

import pytest
from hatchet_double import sdk  # noqa: F401 - its import is quiet where warnings are errors
from hatchet_double.tokens import make_token
from hatchet_sdk import ClientConfig, Hatchet
from pydantic import BaseModel

from scythe_cli import ExperimentInputSpec, ExperimentRegistry
from scythe_cli.errors import EntryPointError


class Own(ExperimentInputSpec):
    size: int


class Stranger(BaseModel):
    size: int


def workflow(takes: type[BaseModel]) -> Any:
    token = make_token(tenant="t", server_url="http://127.0.0.1:1", grpc_address="127.0.0.1:1")
    hatchet = Hatchet(config=ClientConfig(token=token))
    return hatchet.workflow(name="own", input_validator=takes)


def test_a_workflow_of_our_models_is_served_and_comes_back() -> None:
    found = workflow(Own)
    assert ExperimentRegistry.Include(found) is found
    assert ExperimentRegistry.included()[-1] is found
    ExperimentRegistry._included.remove(found)


@pytest.mark.parametrize("given", [Own, lambda: workflow(Stranger)], ids=["no workflow", "a stranger's input"])
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(EntryPointError, match="Include"):
        ExperimentRegistry.Include(given if isinstance(given, type) else given())
