"""The same work with other tools: read the table, run the function, write one parquet. One peer a process.

python -m bench.peers joblib specs.csv out.parquet
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl

from bench.trivial_experiment import Case, measure

WORKERS = 2


def one(row: dict[str, Any]) -> dict[str, Any]:
    """What a careful user writes around the function: a model in, a model out."""
    return measure(Case.model_validate(row)).model_dump()


def with_joblib(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """joblib with its own batching."""
    from joblib import Parallel, delayed

    done: list[dict[str, Any]] = Parallel(n_jobs=WORKERS)(delayed(one)(row) for row in rows)
    return done


def with_pool(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The standard library's executor."""
    with ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, rows, chunksize=256))


def with_dask(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A local Dask cluster, one future a case."""
    from dask.distributed import Client

    with Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as client:
        done: list[dict[str, Any]] = client.gather(client.map(one, rows, pure=False))
        return done


def with_ray(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A local Ray, one task a case."""
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, configure_logging=False)
    task = ray.remote(one)
    done: list[dict[str, Any]] = ray.get([task.remote(row) for row in rows])
    ray.shutdown()
    return done


def with_hyperqueue(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A local HyperQueue, one task a case; a task returns nothing, so each writes a file."""
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig
    from hyperqueue.task.function import PythonEnv

    with tempfile.TemporaryDirectory() as text, LocalCluster(worker_config=WorkerConfig(cores=WORKERS)) as cluster:
        client = cluster.client(python_env=PythonEnv(python_bin=sys.executable))
        job = Job(default_env={"PYTHONPATH": str(Path.cwd())})
        paths = [Path(text, f"{at}.json") for at in range(len(rows))]
        for row, path in zip(rows, paths, strict=True):
            job.function(_one_to_file, args=(row, path), cwd=text)
        client.wait_for_jobs([client.submit(job)])
        return [json.loads(path.read_text()) for path in paths]


def _one_to_file(row: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(one(row)))


def in_a_loop(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """No tool: one process, one loop."""
    return [one(row) for row in rows]


PEERS: dict[str, Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]]] = {
    "joblib": with_joblib,
    "pool": with_pool,
    "dask": with_dask,
    "ray": with_ray,
    "hyperqueue": with_hyperqueue,
    "loop": in_a_loop,
}


def main(peer: str, source: str, target: str) -> None:
    """Read, run, write."""
    frame = pl.read_csv(source, schema_overrides={"code": pl.String})
    done = PEERS[peer](frame.to_dicts())
    pl.concat([frame, pl.DataFrame(list(done), infer_schema_length=None)], how="horizontal").write_parquet(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
