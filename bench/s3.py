"""A bucket: uploads against a bare obstore loop, what waiting for answers costs a run, and the requests of a run.

The server is SCYTHE_TEST_S3_ENDPOINT, else versitygw where it is installed, else moto's. Waiting is made by a proxy
that holds every request for 50 ms.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pyarrow as pa

from bench.harness import Row, Usage, median, ratio, report
from scythe_cli.engines.local import LocalEngine
from scythe_cli.experiment import config, experiment
from scythe_cli.operations import allocate, gather, status
from scythe_cli.preparation.prepare import prepare
from scythe_cli.run.run import open_run
from scythe_cli.storage import artifacts, references
from scythe_cli.storage.open_store import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ.setdefault("SCYTHE_TEST_S3_KEY", "testing-key")
os.environ.setdefault("SCYTHE_TEST_S3_SECRET", "testing-secret")
import live_s3
import servers

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = 5_000
FILE_BYTES = 100_000
FEW = 1_000
SPECS = 100_000
LATENCY = 0.05
MODULE = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class Case(ExperimentInputSpec):
    a: int

class Output(ExperimentOutputSpec):
    b: float

@ExperimentRegistry.Register()
def double(case: Case) -> Output:
    return Output(b=2.0 * case.a)
"""


def server(stack: ExitStack) -> str:
    """The address of an S3 server with the tests' bucket."""
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / "go" / "bin")])
    if servers.LIVE_ENDPOINT:
        endpoint = servers.LIVE_ENDPOINT
    elif found := shutil.which("versitygw", path=path):
        endpoint = stack.enter_context(live_s3.serving(found))
    else:
        endpoint = stack.enter_context(servers.moto_server())
    servers.make_bucket(endpoint)
    return endpoint


def point_at(endpoint: str) -> None:
    """Have scythe find a server."""
    os.environ |= servers.environment(endpoint)


def address() -> str:
    """A fresh place in the bucket."""
    return f"s3://{servers.BUCKET}/{uuid.uuid4().hex}"


def timed(work: Callable[[], object]) -> Usage:
    """Seconds of some work of this process."""
    began = time.perf_counter()
    work()
    return Usage(time.perf_counter() - began, 0)


def send_bare(paths: list[Path]) -> None:
    """The loop anyone would write: as many puts at a time as scythe has, nothing hashed, nothing checked."""
    # the same client, without what is around it
    handle: Any = open_store(address())._bucket.handle()  # type: ignore[attr-defined]
    folder = uuid.uuid4().hex

    async def put(path: Path, gate: asyncio.Semaphore) -> None:
        async with gate:
            await obstore.put_async(handle, f"{folder}/{path.name}", path.read_bytes())

    async def put_all() -> None:
        gate = asyncio.Semaphore(references.REQUESTS)
        await asyncio.gather(*(put(path, gate) for path in paths))

    asyncio.run(put_all())


def send_ours(paths: list[Path]) -> None:
    """Hashed, named, sent."""
    artifacts.send(open_store(address()), artifacts.plan_uploads({"field": paths}).uploads)


def uploads(paths: list[Path], times: int) -> tuple[list[Usage], list[Usage]]:
    """Ours and theirs, in turn."""
    rounds = [(timed(lambda: send_bare(paths)), timed(lambda: send_ours(paths))) for _ in range(times)]
    return [ours for _, ours in rounds], [theirs for theirs, _ in rounds]


def whole_run(folder: Path, proxy: servers.FaultProxy) -> tuple[Usage, int, int]:
    """A run of many small specs: seconds, requests, and the requests of one status."""
    storage, before = address(), proxy.total()
    loaded = config.from_values({"experiment": "double:double", "storage": storage, "name": "t"}, folder=folder)
    ready = prepare(loaded, experiment.load("double:double", folder), specs=pa.table({"a": range(SPECS)}))

    def work() -> None:
        run = allocate.begin(ready, open_store(storage))
        ticket = LocalEngine().submit(allocate.first_work(run, ready))
        assert ticket.wait(lambda _: None) is None
        assert gather.gather(run).succeeded == SPECS
        ids.append(run.id)

    ids: list[str] = []
    seconds, requests = timed(work), proxy.total() - before
    before = proxy.total()
    status.status(open_run(open_store(storage), ids[0]))
    return seconds, requests, proxy.total() - before


def main(times: int = 3) -> None:
    """Measure and report."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        endpoint = server(stack)
        proxy = stack.enter_context(servers.fault_proxy_before(endpoint))
        paths = [folder / f"{at}.bin" for at in range(FILES)]
        for path in paths:
            path.write_bytes(os.urandom(FILE_BYTES))
        (folder / "double.py").write_text(MODULE)

        point_at(endpoint)
        ours, bare = uploads(paths, times)
        point_at(proxy.url)
        proxy.latency = LATENCY
        ours_far, bare_far = uploads(paths[:FEW], times)
        far, near = [], []
        for _ in range(times):
            proxy.latency = LATENCY
            far.append(whole_run(folder, proxy))
            proxy.latency = 0.0
            near.append(whole_run(folder, proxy))

    megabytes = FILES * FILE_BYTES / 1e6
    rows = [
        Row(
            f"upload of {FILES:,} files of 100 kB / bare obstore loop",
            ratio(ours, bare),
            1.3,
            detail=f"scythe {megabytes / median(ours):.0f} MB/s, obstore {megabytes / median(bare):.0f} MB/s",
        ),
        Row(
            f"the same with {FEW:,} files, each answer 50 ms away",
            ratio(ours_far, bare_far),
            1.3,
            detail=f"scythe {median(ours_far):.2f} s, obstore {median(bare_far):.2f} s",
        ),
        Row(f"requests of a run of {SPECS:,} small specs", max(n[1] for n in near + far), 1500, ""),
        Row("requests of its status", max(n[2] for n in near + far), 6, ""),
        Row(
            f"a run of {SPECS:,} specs, each answer 50 ms away / at hand",
            ratio([f[0] for f in far], [n[0] for n in near]),
            1.5,
            detail=f"{median([f[0] for f in far]):.2f} s, {median([n[0] for n in near]):.2f} s, and the proxy's own",
        ),
    ]
    report("s3", rows)


if __name__ == "__main__":
    main()
