"""Runs in a notebook: the example's cells in a real kernel, then what users do wrong, and the interrupt."""

from __future__ import annotations

import queue
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.util import ensure_async, run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook" / "cooling.ipynb"
DEADLINE = 60.0
SLOW = """
import time
from pathlib import Path
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    a: float

class Out(ExperimentOutputSpec):
    b: float

@ExperimentRegistry.Register()
def slow(input_spec: In) -> Out:
    Path(__file__).with_name(f"begun-{input_spec.a:.0f}").touch()
    time.sleep(0.05 if input_spec.a < 4 else 0.5)
    return Out(b=1)
"""


class Kernel:
    """A real kernel, and what its cells show.

    Attributes:
        folder: its working folder.
        example: the example's notebook, with its outputs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.example: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
        self._client: Any = NotebookClient(
            self.example, timeout=DEADLINE, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        )

    def __enter__(self) -> Kernel:
        self._client.create_kernel_manager()
        self._client.km.kernel_spec.argv[0] = sys.executable  # whatever is registered on this machine
        self._client.start_new_kernel(cwd=str(self.folder))
        self._client.start_new_kernel_client()
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.kc.stop_channels()
        _awaited(self._client.km.shutdown_kernel(now=True))

    def run_example(self) -> None:
        """Run the cells of the example; an error in one is an error here."""
        for number, cell in enumerate(self.example.cells):
            self._client.execute_cell(cell, number)

    def run(self, code: str) -> list[Any]:
        """The outputs of a cell, also of one that fails."""
        return self.collect(self.start(code))

    def start(self, code: str) -> str:
        """Have a cell run; what identifies its outputs."""
        identity: str = self._client.kc.execute(code)
        return identity

    def collect(self, identity: str) -> list[Any]:
        """The outputs of a cell until it is over."""
        found: list[Any] = []
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                message = _awaited(self._client.kc.get_iopub_msg(timeout=1))
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != identity:
                continue
            if message["header"]["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found
            found.append(message)
        raise AssertionError(f"the cell is still at work: {found[-1]['content'] if found else 'no output'}")

    def interrupt(self) -> None:
        """What the button does."""
        _awaited(self._client.km.interrupt_kernel())


def _awaited(found: Any) -> Any:
    """What an object of nbclient's gives, which may be of asyncio."""
    return run_sync(ensure_async)(found)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("notebook")) as started:
        started.run_example()
        yield started


def outputs(kernel: Kernel, start: str) -> list[Any]:
    """The outputs of the example's cell that begins like this."""
    return next(list(cell.outputs) for cell in kernel.example.cells if cell.source.startswith(start))


def test_the_example_runs_and_its_bar_ends_with_what_failed(kernel: Kernel) -> None:
    bars = [one for one in outputs(kernel, "from cooling import") if one.output_type == "display_data"]
    assert len(bars) == 1  # one display, updated in place
    shown = bars[0].data["text/html"]
    assert 'value="80"' in shown
    assert "80 of 80 specs" in shown
    assert "2x ValueError: nobody drinks coffee at 39 degrees in cool (cooling.py:" in shown
    assert "finished" in bars[0].data["text/plain"]


def test_a_run_a_spec_and_the_errors_are_html(kernel: Kernel) -> None:
    run = outputs(kernel, "run")[0].data["text/html"]
    assert "80 of 80 done, 2 failed" in run
    assert "run.resume()" in run
    assert "<table" in outputs(kernel, "run.errors()")[0].data["text/html"]
    spec = outputs(kernel, "run.show(78)")[0].data["text/html"]
    assert "nobody drinks coffee" in spec
    assert ">39.0<" in spec


def test_the_report_is_a_file(kernel: Kernel) -> None:
    assert (kernel.folder / "report.html").stat().st_size > 1_000_000
    assert "report.html" in outputs(kernel, "run.report")[0].data["text/plain"]


def error_of(messages: list[Any]) -> str:
    """What a cell shows of its error."""
    return next("\n".join(one["content"]["traceback"]) for one in messages if one["header"]["msg_type"] == "error")


def test_a_ref_is_html_and_a_wrong_spec_is_two_lines(kernel: Kernel) -> None:
    shown = kernel.run("again")
    assert "80 of 80 done, 2 failed" in shown[-1]["content"]["data"]["text/html"]
    wrong = error_of(kernel.run("run.show(4711)"))
    assert wrong.startswith("NotFoundError: ")
    assert "File" not in wrong


def test_a_class_of_a_cell_gets_the_lines_to_paste(kernel: Kernel) -> None:
    kernel.run("from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec")
    kernel.run("class In(ExperimentInputSpec):\n    a: int\nclass Out(ExperimentOutputSpec):\n    b: int")
    found = error_of(kernel.run("def f(x: In) -> Out: ...\nBaseExperiment(experiment=f).allocate([In(a=1)])"))
    assert "f is defined in a notebook or at a prompt: no other process can import it" in found
    assert found.splitlines()[-2:] == ["%%writefile experiment.py", "from experiment import f"]


def test_an_edited_module_is_refused_until_it_is_reloaded(kernel: Kernel) -> None:
    file = kernel.folder / "cooling.py"
    file.write_text(file.read_text().replace("ge=-20", "ge=-30"))
    call = "run, ref = BaseExperiment(experiment=cool).allocate([Cup(room=-25, half_life=3)])"
    before = sorted(kernel.folder.glob("scythe-runs/cool/*/*"))
    found = error_of(kernel.run(call.replace("-25", "-5")))
    assert "cooling.py has changed since this kernel imported it: restart or reload" in found
    assert "importlib.reload(cooling)" in found
    assert sorted(kernel.folder.glob("scythe-runs/cool/*/*")) == before
    kernel.run("import importlib, cooling; importlib.reload(cooling)")
    assert "cool is from before cooling was reloaded" in error_of(kernel.run(call.replace("-25", "-5")))
    kernel.run("from cooling import Cup, cool")
    assert [one for one in kernel.run(f"{call}\nref.result()") if one["header"]["msg_type"] == "error"] == []


ALLOCATE = "run, ref = BaseExperiment(experiment=slow).allocate([In(a=at) for at in range(400)], workers=2, grace='5s')"


def wait_for(condition: Any, what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize("call", ["await ref.aio_result()", "ref.result()"])
def test_interrupting_a_cell_that_waits_stops_the_run(kernel: Kernel, call: str) -> None:
    for path in kernel.folder.glob("begun-*"):
        path.unlink()
    (kernel.folder / "slow_model.py").write_text(SLOW)
    kernel.run("from slow_model import In, slow")
    kernel.run(ALLOCATE)
    waiting = kernel.start(call)
    wait_for(lambda: len(list(kernel.folder.glob("begun-*"))) > 5, "the fifth spec")
    kernel.interrupt()
    found = error_of(kernel.collect(waiting))
    assert found.startswith("Interrupted: ")
    assert "run.resume() runs the rest" in found
    state = kernel.run("now = run.status(); print(now.state, now.done > 0, now.missing > 0, now.failed)")
    assert state[-1]["content"]["text"] == "incomplete True True 0\n"


def test_an_interrupt_between_cells_stops_the_run(kernel: Kernel) -> None:
    for path in kernel.folder.glob("begun-*"):
        path.unlink()
    kernel.run(ALLOCATE)
    wait_for(lambda: len(list(kernel.folder.glob("begun-*"))) > 5, "the fifth spec")
    kernel.run(
        "import signal, asyncio\nfor _ in range(40):\n    await asyncio.sleep(0.05)"
    )  # the kernel looks meanwhile
    kernel.interrupt()
    found = error_of(kernel.run("ref.result()"))
    assert found.startswith("Interrupted: ")


def test_nothing_is_left_behind(kernel: Kernel) -> None:
    assert not [path for path in kernel.folder.iterdir() if path.name.endswith(".partial")]
    shutil.rmtree(kernel.folder / "scythe-runs")
