"""`scythe report`: the numbers, the page, and what users wrote in it. The page in a browser is in tests/live."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command import Done, runs, scythe
from report_runs import EVIL, MODULE, specs

from scythe_cli.report.page import LIMIT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 400 specs, of which some failed, with hostile texts; and its page."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "nasty.py").write_text(MODULE)
    (folder / "specs.csv").write_text(specs(400))
    (folder / "experiment.yml").write_text("experiment: nasty:nasty\nspecs: specs.csv\nrun: {max_failures: all}\n")
    done = scythe("allocate", "--set", "run.retries=0", cwd=folder)
    assert done.code == 1, done.err
    assert "report: scythe report nasty" in done.err.splitlines()
    return folder


@pytest.fixture(scope="module")
def made(folder: Path) -> Done:
    done = scythe("report", "-o", "page.html", "--json", cwd=folder)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def document(made: Done) -> Any:
    return made.json("report")


@pytest.fixture(scope="module")
def page(folder: Path, made: Done) -> str:
    return (folder / "page.html").read_text()


@pytest.fixture(scope="module")
def own(page: str) -> str:
    """The page without the plotting library, which is its longest script."""
    return page.replace(max(re.findall(r"<script>(.*?)</script>", page, re.DOTALL), key=len), "")


def tables(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    final = runs(folder, "nasty")[0] / "final"
    good, bad, execution = (pl.read_parquet(final / f"{name}.pq") for name in ("scalars", "errors", "execution"))
    return good, bad, execution


def test_the_numbers_are_those_of_the_tables(folder: Path, document: Any) -> None:
    good, bad, execution = tables(folder)
    heat = next(one for one in document["outputs"] if one["field"]["name"] == "heat")
    expected, _ = np.histogram(good["heat"].to_numpy(), bins=heat["histogram"]["edges"])
    assert heat["histogram"]["counts"] == expected.tolist()
    assert heat["mean"] == pytest.approx(good["heat"].mean())
    assert (document["head"]["succeeded"], document["head"]["failed"]) == (good.height, bad.height)
    assert document["execution"]["count"] == execution.height
    slowest = execution.sort("duration", descending=True)["sort_index"].head(10).to_list()
    assert [one["sort_index"] for one in document["execution"]["slowest"]] == slowest


def test_nan_constant_and_out_of_bounds_are_marked(folder: Path, document: Any, own: str) -> None:
    good, bad, _ = tables(folder)
    found = {one["field"]["name"]: one for one in document["outputs"]}
    assert found["nan"]["nan"] == good["nan"].is_nan().sum() > 0
    assert found["same"]["constant"]
    assert found["heat"]["out_of_bounds"] == bad["error_type"].eq("ValidationError").sum() > 0
    assert found["inf"]["infinite"] == good["inf"].is_infinite().sum() > 0
    assert f"{found['nan']['nan']:,} NaN" in own
    assert "constant: the same value in all specs" in own
    assert f"{found['heat']['out_of_bounds']:,} out of bounds" in own


def test_failures_are_counted_by_region_and_ranked(folder: Path, document: Any) -> None:
    _, bad, _ = tables(folder)
    failures = document["failures"]
    assert next(iter(failures["ranking"])) == "x"
    of_kind = {one["label"]: one for one in failures["regions"] if one["input"] == "kind"}
    assert sum(one["failed"] for one in of_kind.values()) == bad.height
    assert of_kind["<!--"]["failed"] == bad["kind"].eq("<!--").sum()
    assert sum(one["rows"] for one in of_kind.values()) == 400
    assert {one["error_type"] for one in failures["groups"]} == {"ValueError", "ValidationError"}


def test_inputs_are_ranked_by_the_index(document: Any) -> None:
    heat = next(one for one in document["sensitivity"] if one["output"] == "heat")
    assert next(iter(heat["given_data"])) == "x"
    assert heat["given_data"]["x"] > 0.9
    assert list(heat["given_data"].values()) == sorted(heat["given_data"].values(), reverse=True)


def test_the_sample_is_the_same_for_the_same_seed(folder: Path, document: Any) -> None:
    again = json.loads(scythe("report", "--json", cwd=folder).out)
    assert again["sample"] == document["sample"]
    assert again["page"] is None
    assert document["page"] == str(folder / "page.html")
    good, bad, _ = tables(folder)
    sample = document["sample"]
    failed = {at for at, one in zip(sample["sort_index"], sample["failed"], strict=True) if one}
    assert failed == set(bad["sort_index"])
    x = dict(zip(good["sort_index"], good["x"], strict=True))
    for at, value in zip(sample["sort_index"], sample["inputs"]["x"], strict=True):
        assert at in failed or x[at] == value


def test_nothing_that_users_wrote_is_markup(own: str) -> None:
    assert "alert(1)" in own  # as text
    assert "<script>alert" not in own
    assert "<img" not in own
    assert "<b>" not in own
    assert EVIL not in own
    scripts = re.findall(r"<script([^>]*)>", own)
    assert scripts == ["", ' type="application/json" id="figures"', ""]
    assert own.count("</script>") == 3
    assert "<!--" not in own


def test_the_page_makes_no_request_and_runs_only_its_own_scripts(own: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', own)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert policy[1].count("sha256-") == 2
    assert "script-src 'unsafe-inline'" not in policy[1]
    assert re.findall(r'(?:src|href)="([^#"]+)"', own) == []


def test_names_units_and_descriptions_are_text(own: str) -> None:
    body = own[own.index("<body>") :]
    for words in ("kWh/m2", "W/m2", "Optional", "heat", "Whole"):
        assert f">{words}<" in body


def test_sections_are_in_order(own: str) -> None:
    names = ["run", "failures", "outputs", "inputs", "sample", "durations"]
    places = [
        own.index(f'<section id="{name}"' if f'<section id="{name}"' in own else f'id="{name}"') for name in names
    ]
    assert places == sorted(places)


def test_the_page_is_small(own: str) -> None:
    assert len(own.encode()) < LIMIT


def test_a_page_is_not_written_over_somebody_elses_file(folder: Path) -> None:
    (folder / "report.html").write_text("mine")
    done = scythe("report", cwd=folder)
    assert done.code == 2
    assert "is not a page of scythe report" in done.err
    assert (folder / "report.html").read_text() == "mine"
    (folder / "report.html").unlink()
    assert scythe("report", cwd=folder).code == 0
    assert scythe("report", cwd=folder).code == 0  # its own


@pytest.mark.parametrize(("name", "words"), [(".", "is a folder"), ("none/page.html", "there is no folder")])
def test_a_place_that_cannot_be_written_is_refused_first(folder: Path, name: str, words: str) -> None:
    done = scythe("report", "-o", name, cwd=folder)
    assert done.code == 2
    assert words in done.err


def test_a_partial_run_is_reported(folder: Path, tmp_path: Path) -> None:
    """Without its final tables and with one part of its outcomes."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(runs(folder, "nasty")[0], copy)
    shutil.rmtree(copy / "final")
    parts = sorted((copy / "scatter-gather" / "output" / "0").glob("*.pq"))
    parts[-1].unlink()
    found = scythe("report", copy, "--json", "-o", "partial.html", cwd=folder).json("report")
    head = found["head"]
    assert head["missing"] == head["total"] - head["succeeded"] - head["failed"] > 0
    assert any("have no result yet" in note for note in found["notes"])
    assert head["tables"] == {}
