"""Runs from Python: in the background of a process, waited for, interrupted, refused, found again."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from signals import inherited

pytestmark = pytest.mark.slow

MODELS = """
import asyncio
import json
from pathlib import Path
from scythe_cli import BaseExperiment, ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference
from scythe_cli import SemVer, VersionedExperiment
from scythe_cli.errors import NotFinishedError

class In(ExperimentInputSpec):
    a: float
    b: int = 3

class Out(ExperimentOutputSpec):
    c: float

@ExperimentRegistry.Register()
def simulate(input_spec: In) -> Out:
    return Out(c=2 * input_spec.a)
"""
EVERYTHING = """
class FileIn(ExperimentInputSpec):
    w: FileReference
    none: FileReference | None = None

class Text(ExperimentOutputSpec):
    kind: str
    text: str
    inside: bool

def told(spec, tempdir):
    assert spec.none is None
    inside = isinstance(spec.w, Path) and spec.w.is_relative_to(tempdir)
    return Text(kind=type(spec.w).__name__, text=str(spec.w), inside=inside)

@ExperimentRegistry.Register()
def fetched(input_spec: FileIn, tempdir: Path) -> Text:
    return told(input_spec, tempdir)

@ExperimentRegistry.Register(local_file_location="copied-to-tempdir")
def copied(input_spec: FileIn, tempdir: Path) -> Text:
    input_spec.w.write_text(input_spec.w.read_text() + " changed")
    return told(input_spec, tempdir)

@ExperimentRegistry.Register(auto_fetch_files=False, name="addresses", description="only looks", retries=0)
def left_alone(input_spec: FileIn, tempdir: Path) -> Text:
    return told(input_spec, tempdir)

class Case(ExperimentInputSpec):
    a: float

    @property
    def computed_features(self) -> dict:
        return {"big": self.a > 1, "label": f"case {self.a:.0f}"}

    def run(self, tempdir: Path) -> Out:
        self.log("running")
        return Out(c=self.a + len(list(tempdir.iterdir())))

@ExperimentRegistry.Register(retries=0)
def fails(input_spec: In) -> Out:
    input_spec.log(f"looking at {input_spec.a}")
    if input_spec.a:
        raise ValueError("too cold")
    return Out(c=1)

def stopped(ref):
    for wait in (ref.result, lambda: asyncio.run(ref.aio_result())):
        try:
            wait()
        except NotFinishedError as exc:
            yield [str(exc), exc.hint]

async def both(one, other):
    return await asyncio.gather(one.aio_result(), other.aio_result())

if __name__ == "__main__":
    import pandas, polars
    facts = {}
    experiment = BaseExperiment(experiment=simulate, run_name="doubling")
    run, ref = experiment.allocate([In(a=i, sort_index=9) for i in range(30)])
    result = ref.result()
    assert ref.result() == result and "over" in repr(ref)
    kept, one = experiment.allocate(In(a=5, sort_index=7), overwrite_sort_index=False)
    third, other = experiment.allocate("specs.csv", version=SemVer(3, 1, 0))
    asyncio.run(both(one, other))
    status = run.status()
    facts["status"] = [status.total, status.done, status.failed, run.gather().succeeded, run.errors().height]
    facts["same"] = [
        run.table("scalars").equals(run.scalars()),
        run.results() == dict(sorted(result.items())),
        experiment.latest_results == third.results() == experiment.latest_results_for_version(SemVer(3, 1, 0)),
        max(experiment.list_versions()) == experiment.latest_version(),
        experiment.latest_run.experiment_id == third.experiment_id,
        run.timestamp.isoformat()[:10] == run.experiment_id.split("/")[2][:10],
    ]
    first, *_ = experiment.list_versions()
    facts["versions"] = [str(version) for version in experiment.list_versions()]
    facts["runs"] = [one.experiment_id for one in first.list_runs()] == [kept.experiment_id, run.experiment_id]
    facts["address"] = run.address
    facts["kept"] = [kept.scalars()["sort_index"].to_list(), third.scalars()["c"].to_list()]
    run.download("here", files=True)

    files = [(BaseExperiment(experiment=each), {"w": Path("data/w.epw")}) for each in (copied, left_alone)]
    under_way = [each.allocate([FileIn(**given)] * 2, workers=1) for each, given in files]
    for table in (pandas.DataFrame, polars.DataFrame):
        specs = table({"w": ["data/w.epw"] * 2, "experiment_id": "placeholder"})
        under_way.append(BaseExperiment(experiment=fetched).allocate(specs, workers=1))
    facts["files"] = []
    for run, ref in under_way:
        ref.result()
        assert run.errors().is_empty(), run.errors()["message"].to_list()
        row = run.scalars().row(1, named=True)
        name = run.experiment_id.split("/")[0]
        facts["files"].append([name, row["inside"], Path(row["text"]).name, row["text"].startswith(run.address)])

    run, ref = BaseExperiment(experiment=Case).allocate([Case(a=1), Case(a=2)], workers=1)
    ref.result()
    facts["model"] = [run.experiment_id.split("/")[0], *run.scalars().select("c", "big", "label").rows()]
    run, ref = BaseExperiment(experiment=fails).allocate([In(a=0), In(a=1)], workers=1)
    facts["result"] = sorted(ref.result())
    facts["failure"] = run.errors().select("error_type", "message", "kind", "attempts", "log", "a").rows()
    run, ref = BaseExperiment(experiment=fails).allocate([In(a=i) for i in range(1, 40)], workers=1)
    facts["stopped"] = list(stopped(ref))
    print(json.dumps(facts))
"""


def script(folder: Path, *pieces: str) -> subprocess.CompletedProcess[str]:
    """Run a script of these pieces as a user does, in its folder."""
    (folder / "script.py").write_text("\n".join(map(textwrap.dedent, pieces)))
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a script saw that does everything, with functions that stand in its `__main__`."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "data").mkdir()
    (folder / "data/w.epw").write_text("w")
    (folder / "specs.csv").write_text("a,b\n4,5\n")
    done = script(folder, MODELS, EVERYTHING)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "folder": folder}


def test_a_run_tells_all_about_itself(facts: dict[str, Any]) -> None:
    assert facts["status"] == [30, 30, 0, 30, 0]
    assert facts["same"] == [True] * 6
    assert facts["address"].startswith(str(facts["folder"] / "scythe-runs" / "doubling" / "v1.0.0"))
    assert facts["kept"] == [[7], [8.0]]
    scalars = pl.read_parquet(facts["folder"] / "here/final/scalars.pq")
    assert scalars["c"].to_list() == [2.0 * i for i in range(30)]
    assert scalars["sort_index"].to_list() == list(range(30))


def test_versions_and_their_runs(facts: dict[str, Any]) -> None:
    assert facts["versions"] == ["v1.0.0", "v3.1.0"]
    assert facts["runs"] is True


def test_how_input_files_reach_the_function(facts: dict[str, Any]) -> None:
    """As copies of its own, as addresses, as paths in the cache; from models, pandas and polars."""
    assert facts["files"][0] == ["copied", True, "w.epw", False]
    assert facts["files"][1] == ["addresses", False, "w.epw", True]
    assert [file[:3] for file in facts["files"][2:]] == [["fetched", False, "w.epw"]] * 2


def test_an_input_model_with_run_and_features(facts: dict[str, Any]) -> None:
    assert facts["model"] == ["Case", [1.0, False, "case 1"], [2.0, True, "case 2"]]


def test_failures_are_rows_and_result_gives_the_tables(facts: dict[str, Any]) -> None:
    assert facts["result"] == ["errors", "execution", "scalars"]
    assert facts["failure"] == [["ValueError", "too cold", "exception", 1, "looking at 1.0\n", 1.0]]


def test_what_stops_a_run_is_raised_by_result(facts: dict[str, Any]) -> None:
    first, second = facts["stopped"]
    assert first == second
    assert "20" in first[0]
    assert "ValueError" in first[0]
    assert f"in {facts['folder']}: scythe allocate --resume {facts['folder']}" in first[1]


def test_a_bucket_named_as_the_original_names_it(
    tmp_path: Path, s3_storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment's variables and by the settings object; files go in and come out, features see their names."""
    bucket, _, prefix = s3_storage.removeprefix("s3://").partition("/")
    monkeypatch.setenv("SCYTHE_STORAGE_BUCKET", bucket)
    monkeypatch.setenv("SCYTHE_STORAGE_BUCKET_PREFIX", prefix)
    (tmp_path / "miami.epw").write_text("warm")
    done = script(
        tmp_path,
        MODELS,
        """
        class Case(ExperimentInputSpec):
            weather: FileReference
            @property
            def computed_features(self) -> dict:
                return {"city": self.weather.stem}
        class Report(ExperimentOutputSpec):
            report: FileReference
        @ExperimentRegistry.Register()
        def report(input_spec: Case, tempdir: Path) -> Report:
            path = tempdir / "out.txt"
            path.write_text(input_spec.weather.read_text() + input_spec.computed_features["city"])
            return Report(report=path)
        if __name__ == "__main__":
            from scythe_cli import ScytheStorageSettings
            run, ref = BaseExperiment(experiment=report).allocate([Case(weather=Path("miami.epw"))], workers=1)
            same = BaseExperiment(experiment=report, storage_settings=ScytheStorageSettings())
            tables = ref.result()
            row = run.table("result_file_refs").row(0, named=True)
            text = Case(weather="x").fetch_uri(row["report"]).read_text()
            print(json.dumps([tables["scalars"], row["city"], row["weather"], text, same.latest_run.address]))
        """,
    )
    assert done.returncode == 0, done.stderr
    scalars, city, weather, text, address = json.loads(done.stdout)
    assert scalars.startswith(f"{s3_storage}/report/v1.0.0/")
    assert (city, text) == ("miami", "warmmiami")
    assert weather == "miami.epw"
    assert scalars == f"{address}/final/scalars.pq"


def test_leaving_the_interpreter_waits_and_tells_what_went_wrong(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        MODELS,
        """
        @ExperimentRegistry.Register(retries=0)
        def broken(input_spec: In) -> Out:
            raise ValueError("always")
        if __name__ == "__main__":
            BaseExperiment(experiment=simulate).allocate([In(a=1)], workers=1)
            BaseExperiment(experiment=broken).allocate([In(a=i) for i in range(30)], workers=1)
        """,
    )
    assert len(list(tmp_path.glob("scythe-runs/simulate/v1.0.0/*/final/scalars.pq"))) == 1
    assert done.stderr.startswith("error: broken/v1.0.0/"), done.stderr
    assert "\nhint: in " in done.stderr


def test_a_child_that_is_forked_next_to_a_run_ends_by_itself(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        MODELS,
        """
        import multiprocessing
        import time
        @ExperimentRegistry.Register()
        def slow(input_spec: In) -> Out:
            time.sleep(0.2)
            return Out(c=input_spec.a)
        def wait_for(ref):
            try:
                ref.result()
            except NotFinishedError as exc:
                print(str(exc))
        if __name__ == "__main__":
            fork = multiprocessing.get_context("fork")
            run, ref = BaseExperiment(experiment=slow).allocate([In(a=i) for i in range(8)], workers=1)
            with fork.Pool(1) as pool:
                print(pool.map(abs, [-1]))
                pool.close()
                pool.join()
            child = fork.Process(target=wait_for, args=(ref,))
            child.start()
            child.join()
            print(sorted(ref.result()))
        """,
    )
    assert done.returncode == 0, done.stderr
    first, refusal, tables = done.stdout.splitlines()
    assert first == "[1]"
    assert "only the process that began the run can wait for it" in refusal
    assert "scalars" in tables


def test_a_script_without_a_guard_is_refused_where_it_is_imported(tmp_path: Path) -> None:
    done = script(
        tmp_path,
        MODELS,
        """
        run, ref = BaseExperiment(experiment=simulate).allocate([In(a=1)])
        ref.result()
        print(run.errors()["traceback"][0])
        """,
    )
    (line,) = [n for n, text in enumerate((tmp_path / "script.py").read_text().splitlines(), 1) if "allocate(" in text]
    assert done.returncode != 0
    assert f"script.py:{line}  starts a run whenever the file is imported" in done.stderr
    assert "each worker process imports it\nhint: put this line" in done.stderr
    assert not (tmp_path / "scythe-runs").exists()


def test_what_is_refused_writes_nothing(tmp_path: Path) -> None:
    """A notebook's function is told where to go; features that raise, and for which row."""
    (tmp_path / "cell.txt").write_text(MODELS + "\nBaseExperiment(experiment=simulate).allocate([In(a=1)])")
    done = script(
        tmp_path,
        MODELS,
        """
        class Case(ExperimentInputSpec):
            a: float
            @property
            def computed_features(self) -> dict:
                return {"inverse": 1 / self.a}
        @ExperimentRegistry.Register()
        def invert(input_spec: Case) -> Out: ...
        if __name__ == "__main__":
            import sys, types
            try:
                BaseExperiment(experiment=invert).allocate([Case(a=1), Case(a=0)])
            except Exception as exc:
                print(exc)
            sys.modules["__main__"] = types.ModuleType("__main__")  # as in a kernel: a main module without a file
            exec(compile(open("cell.txt").read(), "<ipython-input-1>", "exec"), sys.modules["__main__"].__dict__)
        """,
    )
    assert done.stdout == "specs row 1  computed_features raises ZeroDivisionError: float division by zero\n"
    assert "simulate is defined in a notebook or at a prompt: no other process can import it" in done.stderr
    assert "hint: put it into a file next to the notebook, such as experiment.py, and `from experiment" in done.stderr
    assert not (tmp_path / "scythe-runs").exists()


SLOW = """
import time
@ExperimentRegistry.Register(execution_timeout="1m")
def slow(input_spec: In) -> Out:
    Path(__file__).with_name(f"begun-{int(input_spec.a)}").touch()
    time.sleep(0 if input_spec.a == 0 else 30)
    return Out(c=1)

if __name__ == "__main__":
    run, ref = BaseExperiment(experiment=slow).allocate([In(a=0), In(a=1)], workers=1, grace="20s", flush="100ms")
    print(run.address, flush=True)
"""


def interrupted(folder: Path, ending: str) -> tuple[int, str, str]:
    """Start a run of a fast and a slow spec, interrupt it twice while the slow one runs, and hear how it ends."""
    (folder / "slow.py").write_text(f"{MODELS}{SLOW}    {ending}\n")
    command = [sys.executable, "slow.py"]
    with inherited(signal.SIGINT, signal.SIG_DFL):
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (folder / "begun-1").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the slow spec never began"
        time.sleep(0.02)
    for _ in range(2):
        time.sleep(0.5)  # the fast one's outcome is on its way; and two signals at once are one
        os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=40)
    return process.returncode, out, err


def test_ctrl_c_in_result_stops_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    """The first asks, the second ends at once; the hint's command finishes the run."""
    code, out, err = interrupted(tmp_path, "ref.result()")
    address = Path(out.strip())
    assert code != 0
    assert f"scythe_cli.errors.Interrupted: {'/'.join(address.parts[-3:])}: interrupted" in err
    assert not (address / "final").exists()
    hint = f"in {tmp_path}: scythe allocate --resume {address}"
    assert hint in err
    (tmp_path / "slow.py").write_text((tmp_path / "slow.py").read_text().replace("else 30", "else 0"))
    resume = [str(Path(sys.executable).with_name("scythe")), *hint.split()[3:], "--allow-changed-code"]
    done = subprocess.run(resume, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 spec to run (1 missing), 1 kept" in done.stderr
    assert len(pd.read_parquet(address / "final/scalars.pq")) == 2


def test_ctrl_c_at_the_end_of_a_script_stops_the_run(tmp_path: Path) -> None:
    _, out, err = interrupted(tmp_path, "pass")
    assert ": interrupted\nhint: " in err
    assert not (Path(out.strip()) / "final").exists()
