"""The public names: what importing costs, what they take, what they refuse, and what they find in a folder of runs."""

import ast
import asyncio
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import pandas as pd
import pytest

import scythe_cli
from scythe_cli import (
    BaseExperiment,
    ExperimentInputSpec,
    ExperimentOutputSpec,
    ExperimentRegistry,
    FileReference,
    RecursionMap,
    S3Url,
    ScytheStorageSettings,
    SemVer,
    VersionedExperiment,
)
from scythe_cli.api.allocate_arguments import bump
from scythe_cli.errors import (
    ConfigError,
    EntryPointError,
    Interrupted,
    NotFinishedError,
    NotFoundError,
    TableError,
    WaitTimeout,
)
from scythe_cli.experiment import importer
from scythe_cli.run.engine import Ended, EndReason
from scythe_cli.run_future import RunFuture

HEAVY = {"polars", "pyarrow", "pandas", "numpy", "boto3", "obstore", "hatchet_sdk", "typer", "rich"}


class Case(ExperimentInputSpec):
    """A case."""

    a: float
    weather: FileReference | None = None

    @property
    def computed_features(self) -> dict[str, object]:
        return {"warm": self.a > 1}


class Out(ExperimentOutputSpec):
    """What comes of it."""

    b: float


@ExperimentRegistry.Register()
def simulate(input_spec: Case) -> Out:
    """Twice."""
    return Out(b=2 * input_spec.a)


@pytest.fixture
def experiment(tmp_path: Path) -> BaseExperiment:
    return BaseExperiment(experiment=simulate, storage=tmp_path / "runs")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) & HEAVY


@pytest.mark.parametrize(
    "statement",
    [
        "import scythe_cli",
        "from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference, SemVer",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement) == set()


def test_importing_all_names_needs_no_token_and_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("HATCHET_", "AWS_", "SCYTHE_"))]:
        monkeypatch.delenv(name)
    assert not loaded_by("from scythe_cli import *") & {"boto3", "obstore", "hatchet_sdk", "polars", "pandas"}


def test_all_names_are_there_and_typed() -> None:
    assert set(scythe_cli.__all__) == set(scythe_cli._HOMES)
    assert all(getattr(scythe_cli, name) is not None for name in scythe_cli.__all__)
    tree = ast.parse(Path(scythe_cli.__file__).read_text())
    typed = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(scythe_cli.__all__) <= typed
    with pytest.raises(AttributeError, match="BaseExperimnt"):
        scythe_cli.BaseExperimnt  # noqa: B018
    assert "SemVer" in dir(scythe_cli)


def test_register_gives_the_function_back() -> None:
    assert simulate(Case(a=2)).b == 4


def test_semver() -> None:
    assert SemVer.FromString("v1.2.3") == SemVer(major=1, minor=2, patch=3)
    assert str(SemVer.FromString("1.10.0")) == "v1.10.0"
    assert SemVer(1, 9, 0) < SemVer(1, 10, 0)
    nexts = [SemVer(1, 2, 3).next_major_version(), SemVer(1, 2, 3).next_minor_version()]
    assert [str(one) for one in [*nexts, SemVer(1, 2, 3).next_patch_version()]] == ["v2.0.0", "v1.3.0", "v1.2.4"]
    with pytest.raises(ConfigError, match="three numbers"):
        SemVer.FromString("newest")


def test_s3url() -> None:
    url = S3Url("s3://bucket/a folder/b.epw")
    assert (url.bucket, url.key, str(url)) == ("bucket", "a folder/b.epw", "s3://bucket/a folder/b.epw")


def test_the_original_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ScytheStorageSettings(BUCKET="b").address == "s3://b/scythe"
    monkeypatch.setenv("SCYTHE_STORAGE_BUCKET", "from-env")
    monkeypatch.setenv("SCYTHE_STORAGE_BUCKET_PREFIX", "deep/er")
    assert ScytheStorageSettings().address == "s3://from-env/deep/er"  # type: ignore[call-arg]  # from the environment
    assert ScytheStorageSettings(BUCKET="b").address == "s3://b/deep/er"
    assert RecursionMap(factor=10, max_depth=1).factor == 10
    with pytest.raises(ValueError, match="factor"):
        RecursionMap(factor=0)


def test_the_bucket_of_the_environment_is_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCYTHE_STORAGE_BUCKET", "bench")
    loaded, _ = BaseExperiment(experiment=simulate)._loaded()
    assert loaded.file.storage == "s3://bench/scythe"
    monkeypatch.setenv("SCYTHE_STORAGE_BUCKET_PREFIX", "mine")
    assert BaseExperiment(experiment=simulate)._loaded()[0].file.storage == "s3://bench/mine"
    monkeypatch.setenv("SCYTHE_STORAGE", "s3://other/place")
    assert BaseExperiment(experiment=simulate)._loaded()[0].file.storage == "s3://other/place"
    given = BaseExperiment(experiment=simulate, storage_settings=ScytheStorageSettings(BUCKET="given"))
    assert given._loaded()[0].file.storage == "s3://given/mine"


def test_what_is_said_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="same thing"):
        BaseExperiment(experiment=simulate, storage="x", storage_settings=ScytheStorageSettings(BUCKET="b"))


def test_a_wrong_version_names_the_right_one(experiment: BaseExperiment) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'bumpminor'"):
        experiment.allocate([Case(a=1)], version="bumpmino")  # type: ignore[arg-type]


def test_without_a_version_python_and_the_command_make_another_run_of_the_latest_one() -> None:
    from scythe_cli.cli.commands.allocate import _wanted

    default = inspect.signature(BaseExperiment.allocate).parameters["version"].default
    assert bump(default) == _wanted(None, None) == "keep"


def test_a_wrong_setting_names_the_right_one(experiment: BaseExperiment, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"run\.timout is not a setting\. Did you mean 'timeout'"):
        experiment.allocate([Case(a=1)], timout="1m")
    assert not (tmp_path / "runs").exists()


def test_specs_of_another_model_are_refused(experiment: BaseExperiment, tmp_path: Path) -> None:
    class Other(ExperimentInputSpec):
        a: float

    with pytest.raises(TableError, match=r"specs row 1  is a Other, and the experiment takes Case"):
        experiment.allocate([Case(a=1), Other(a=1)])
    with pytest.raises(TableError, match="no specs"):
        experiment.allocate([])
    assert not (tmp_path / "runs").exists()


def test_allocate_is_refused_while_a_module_is_imported(
    experiment: BaseExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "_importing", 1)
    with pytest.raises(EntryPointError) as caught:
        experiment.allocate([Case(a=1)])
    assert caught.value.hint is not None
    assert "__main__" in caught.value.hint


def test_nothing_to_be_found(experiment: BaseExperiment) -> None:
    assert experiment.list_versions() == []
    assert experiment.latest_version() is None
    with pytest.raises(NotFoundError, match="simulate has no run in"):
        experiment.latest_run  # noqa: B018
    with pytest.raises(NotFoundError):
        experiment.latest_results  # noqa: B018
    with pytest.raises(NotFoundError, match=r"simulate v2\.0\.0 has no run"):
        VersionedExperiment(base_experiment=experiment, version=SemVer(2)).latest_run  # noqa: B018


class Elsewhere:
    """A ticket of an engine that works without us."""

    workflow_run_id = "abc"
    link = None

    def __init__(self) -> None:
        self.waits = 0

    def wait(self, listener: object) -> Ended:
        self.waits += 1
        return Ended(EndReason.INTERRUPTED, "no longer followed")

    def stop(self) -> None: ...

    def close(self) -> None: ...


def test_a_run_elsewhere_is_followed_only_while_somebody_waits() -> None:
    run = SimpleNamespace(id="e/v1.0.0/t", total=3, store=SimpleNamespace(locate=lambda _key: "s3://b/e/v1.0.0/t"))
    work: Any = SimpleNamespace(run=run, file=SimpleNamespace(engine="hatchet"), experiment=None)
    ticket = Elsewhere()
    ref = RunFuture(work, ticket)
    assert (ticket.waits, ref.workflow_run_id, repr(ref)) == (0, "abc", "<RunFuture of e/v1.0.0/t, under way>")
    with pytest.raises(Interrupted, match="no longer followed") as caught:
        ref.result()
    assert caught.value.hint == "scythe status s3://b/e/v1.0.0/t --watch"
    with pytest.raises(Interrupted):
        asyncio.run(ref.aio_result())
    assert ticket.waits == 1


def test_make_multiindex() -> None:
    spec = Case(a=1.5, experiment_id="e/v1.0.0/t", sort_index=7, weather=Path("x.epw"))
    index = spec.make_multiindex(n_rows=2, additional_index_data={"src": "ts"})
    names = ["experiment_id", "sort_index", "workflow_run_id", "root_workflow_run_id", "a", "weather", "warm"]
    assert list(index.names) == [*names, "src", "sort_subindex"]
    assert isinstance(index, pd.MultiIndex)
    assert index[1][1] == 7
    assert index[1][4:] == (1.5, "x.epw", True, "ts", 1)
    assert list(spec.make_multiindex(include_sort_subindex=False).names) == names
    assert len(spec.make_multiindex(n_rows=0)) == 0
    rows = [{"hour": 0}, {"hour": 1}]
    assert list(spec.make_multiindex(n_rows=2, additional_index_data=rows).get_level_values("hour")) == [0, 1]
    with pytest.raises(ValueError, match="has 2 rows, not 3"):
        spec.make_multiindex(n_rows=3, additional_index_data=rows)
    with pytest.raises(ValueError, match="'a', which is an index level already"):
        spec.make_multiindex(additional_index_data={"a": 1})


def test_make_multiindex_in_the_order_of_scythe_engine() -> None:
    """The additional data comes first; a number there is the number of rows, as before."""
    spec = Case(a=1.5, experiment_id="e/v1.0.0/t")
    index = spec.make_multiindex({"season": "winter"}, 2, False, frozenset({"weather", "warm"}))
    names = ["experiment_id", "sort_index", "workflow_run_id", "root_workflow_run_id", "a", "season"]
    assert (list(index.names), len(index)) == (names, 2)
    assert len(spec.make_multiindex(3)) == 3
    assert list(spec.make_multiindex([{"hour": 0}, {"hour": 1}], 2).get_level_values("hour")) == [0, 1]


def test_a_spec_outside_of_a_run_has_no_bucket() -> None:
    spec = Case(a=1, experiment_id="e/v1.0.0/t")
    assert spec.storage_settings is None
    with pytest.raises(ValueError, match="known only while a run runs the spec"):
        spec.prefix  # noqa: B018


def test_a_wait_with_a_timeout_is_a_timeout_error() -> None:
    assert issubclass(WaitTimeout, TimeoutError)
    assert issubclass(WaitTimeout, NotFinishedError)


def test_an_experiment_needs_one_function() -> None:
    with pytest.raises(ConfigError, match="experiment is missing"):
        BaseExperiment()
    with pytest.raises(ConfigError, match="experiment and runnable say the same thing"):
        BaseExperiment(experiment=simulate, runnable=simulate)


def test_a_function_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    own = WeakKeyDictionary({simulate: ExperimentRegistry.options(simulate)})  # other tests may have a `simulate`
    monkeypatch.setattr(ExperimentRegistry, "_registered", own)
    assert ExperimentRegistry.get_runnable("scythe_experiment_simulate") is simulate
    with pytest.raises(EntryPointError, match="Did you mean 'simulate'"):
        ExperimentRegistry.get_runnable("simulat")


def test_fetch_uri_and_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.txt").write_text("here")
    spec = Case(a=1)
    assert spec.fetch_uri(str(tmp_path / "x.txt")).read_text() == "here"
    spec.log("a line")
    assert capfd.readouterr().err == "a line\n"


def test_register_refuses_options_that_cannot_be() -> None:
    for options, word in [
        ({"retries": -1}, "retries"),
        ({"execution_timeout": "soon"}, "execution_timeout"),
        ({"local_file_location": "elsewhere"}, "local_file_location"),
        ({"name": "a/b"}, "name"),
    ]:
        with pytest.raises(EntryPointError, match=word):
            ExperimentRegistry.Register(**options)  # type: ignore[arg-type]
    with pytest.raises(EntryPointError, match="parentheses"):
        ExperimentRegistry.Register(simulate)  # type: ignore[arg-type]
