"""`scythe_cli.contrib.dask`: a run on a real Dask cluster of processes, nannies included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from claims import Project

from scythe_cli.contrib.dask import start
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

distributed: Any = pytest.importorskip("distributed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_on_the_workers_of_a_dask_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": x, "seconds": 0.02} for x in range(12)])
    project.scythe("allocate")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        assert cluster.workers[0].__class__.__name__ == "Nanny"
        futures = start(client, "work")
        assert len(futures) == 2
        assert client.gather(futures) == [0, 0]
    assert sorted(project.table("scalars")["double"].to_list()) == [2 * x for x in range(12)]


@pytest.mark.slow
def test_a_run_of_another_engine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, str(tmp_path / "runs"))
    project.write([{"x": 1}])
    project.scythe("allocate", "--engine", "local")
    with pytest.raises(ConfigError, match="engine local"):
        start(None, "work")
