"""What a report counts: exact histograms, classes, the index from given data. No run is needed."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pyarrow as pa
import pytest

from scythe_cli.report.classes import class_count, label, make_classes
from scythe_cli.report.counts import ClassSums, Counter, equal_bins, growing_bins
from scythe_cli.report.fields import ModelTexts, kind_of
from scythe_cli.report.rows import TextLevels
from scythe_cli.report.summary import Moments
from scythe_cli.storage.local import LocalStore

RNG = np.random.default_rng(3)


def moments(*parts: np.ndarray) -> Moments:
    found = Moments()
    for part in parts:
        found.add(part)
    return found


def index(x: np.ndarray, y: np.ndarray) -> float | None:
    """The index, computed in three pieces as a run's blocks are."""
    classes = make_classes(x[: len(x) // 3], "number", class_count(len(x)))
    sums = ClassSums(len(classes), float(y.mean()))
    for some, values in zip(np.array_split(x, 3), np.array_split(y, 3), strict=True):
        sums.add(classes.of(some), values)
    return sums.index()


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    values = RNG.normal(1e6, 2.0, 1000)
    found = moments(values[:10], np.array([np.nan, np.inf, -np.inf]), values[10:])
    assert (found.count, found.nan, found.infinite) == (1000, 1, 2)
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean())
    assert found.std == pytest.approx(values.std())


def test_moments_of_huge_values_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = moments(np.array([1e308, -1e308, 1e308]))
    assert found.std is None
    assert (found.low, found.high) == (-1e308, 1e308)


def test_levels_are_the_same_when_the_rows_are_read_again() -> None:
    column = pa.chunked_array([[f"level {at % 60}" for at in range(400)]])
    levels = TextLevels()
    first = levels.encode(column)
    assert levels.free_text
    levels.freeze()
    assert np.array_equal(levels.encode(column), first)
    assert levels.free_text
    assert np.isnan(levels.encode(pa.chunked_array([["another"]]))).all()


def test_a_histogram_counts_every_row() -> None:
    values = np.concatenate([RNG.random(5000), [np.nan, np.inf]])
    counter = Counter(equal_bins(moments(values), whole=False))
    for part in np.array_split(values, 7):
        counter.add(part)
    found = counter.histogram()
    expected, _ = np.histogram(values[:5000], bins=found.edges)
    assert found.counts == expected.tolist()
    assert len(found.counts) == math.ceil(2 * 5000 ** (1 / 3))


def test_few_whole_numbers_have_a_bin_each() -> None:
    values = np.array([0.0, 0, 1, 5])
    counter = Counter(equal_bins(moments(values), whole=True))
    counter.add(values)
    assert counter.histogram().counts == [2, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [-1e308, 1e308], [1e16, 1e16 + 2], []])
def test_any_range_has_bins(values: list[float]) -> None:
    counter = Counter(equal_bins(moments(np.array(values)), whole=False))
    counter.add(np.array(values))
    assert sum(counter.histogram().counts) == len(values)


def test_durations_have_bins_that_grow() -> None:
    values = np.array([1e-6, 1.0, 3600.0])
    edges = growing_bins(1e-6, 3600.0)
    counter = Counter(edges)
    counter.add(values)
    assert sum(counter.histogram().counts) == 3
    assert edges[0] <= 1e-6
    assert edges[-1] >= 3600
    assert len(edges) < 70
    assert len(growing_bins(math.inf, 0.0)) == 2


def test_the_index_of_ishigami() -> None:
    """S1 of the Ishigami function, a = 7, b = 0.1: 0.314, 0.442, 0 (Ishigami and Homma 1990)."""
    x = RNG.uniform(-np.pi, np.pi, (60_000, 3))
    y = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
    assert index(x[:, 0], y) == pytest.approx(0.314, abs=0.01)
    assert index(x[:, 1], y) == pytest.approx(0.442, abs=0.01)
    assert index(x[:, 2], y) == pytest.approx(0.0, abs=0.01)


def test_the_index_of_noise_is_near_zero_for_few_rows_too() -> None:
    found = [index(RNG.random(60), RNG.random(60)) for _ in range(50)]
    assert np.mean([one for one in found if one is not None]) < 0.06


def test_the_index_of_a_constant_is_undefined() -> None:
    x = RNG.random(100)
    assert index(x, np.full(100, 3.7)) is None
    assert index(x, 0.1 + 1e-17 * RNG.random(100)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert index(x, 1e305 * (RNG.random(100) - 0.5)) is None


def test_each_of_few_values_is_a_class() -> None:
    classes = make_classes(np.array([1.0, 2.5, 7.0, 2.5]), "number", 10)
    assert classes.labels == ["1", "2.5", "7"]
    assert classes.of(np.array([1.0, 2.5, 7.0])).tolist() == [0, 1, 2]


def test_classes_cover_values_that_the_sample_lacks() -> None:
    classes = make_classes(RNG.random(500), "number", 8)
    assert len(classes) == 8
    assert classes.of(np.array([-5.0, 5.0])).tolist() == [0, 7]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.0, "date", "1970-01-01"),
        (0.5, "date", "1970-01-01 12:00"),
        (1.0, "boolean", "true"),
        (12345.0, "integer", "12,345"),
    ],
)
def test_labels(value: float, kind: str, text: str) -> None:
    assert label(value, kind) == text  # type: ignore[arg-type]  # each is a kind


def test_levels_keep_their_numbers_from_block_to_block() -> None:
    levels = TextLevels()
    assert levels.encode(pa.chunked_array([["a", None, "b"]])).tolist()[::2] == [0.0, 1.0]
    assert levels.encode(pa.chunked_array([["c", "b"]])).tolist() == [2.0, 1.0]
    assert levels.values == ["a", "b", "c"]
    assert not levels.free_text


def test_texts_that_hardly_repeat_are_no_category() -> None:
    levels = TextLevels()
    levels.encode(pa.chunked_array([[f"name {at}" for at in range(200)]]))
    assert levels.free_text
    assert levels.values == []


def test_units_and_bounds_come_from_the_model(tmp_path: object) -> None:
    store = LocalStore(str(tmp_path))
    store.write(
        "experiment_io_spec.yml",
        b"""
$defs:
  In:
    description: What goes in.
    properties:
      a: {description: "Length [m]", minimum: 0, exclusiveMaximum: 5, type: number}
      b: {description: "Share [-]", anyOf: [{type: number, maximum: 1}, {type: "null"}]}
      c: {description: Power, unit: W, type: number}
      d: {$ref: "#/$defs/Inner"}
  Inner:
    properties:
      e: {description: "Depth (of water) [mm]", type: integer}
properties:
  input: {$ref: "#/$defs/In", description: The input.}
""",
    )
    texts = ModelTexts(store)
    a, b, c, e, f = (texts.field(texts.inputs, pa.field(name, pa.float64())) for name in ("a", "b", "c", "d.e", "f"))
    assert texts.inputs["description"] == "What goes in."
    assert (a.unit, a.description, a.low, a.high) == ("m", "Length", 0, 5)
    assert (b.unit, b.description, b.high) == ("", "Share", 1)
    assert (c.unit, c.description) == ("W", "Power")
    assert (e.unit, e.description) == ("mm", "Depth (of water)")
    assert (f.unit, f.description) == ("", "")


def test_a_run_without_its_models_has_no_descriptions(tmp_path: object) -> None:
    store = LocalStore(str(tmp_path))
    texts = ModelTexts(store)
    assert texts.field(texts.outputs, pa.field("x", pa.string())).kind == "category"
    assert kind_of(pa.list_(pa.int64())) == "other"
