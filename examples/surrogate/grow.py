"""Fit a surrogate model, and grow its training set until the error is small. Repeat it: nothing is computed twice."""

import numpy as np
import polars as pl
from heating import Room, heat_room
from sklearn.ensemble import ExtraTreesRegressor

from scythe_cli import BaseExperiment, sample

GOOD_ENOUGH = 0.04
"""Mean absolute error of the worst stratum, as a share of the stratum's mean."""
MOST = 4096


def computed(n: int) -> tuple[pl.DataFrame, pl.Series]:
    """The first n points of one design, of which only the new ones run."""
    specs = sample(Room, "sobol", n, seed=1)
    run, ref = BaseExperiment(experiment=heat_room).allocate(specs, version="bumpminor", reuse="latest")
    ref.result()
    x, y = run.xy()
    return x.with_columns(pl.col("system") == "gas"), y["heating"]


def worst_error(x: pl.DataFrame, y: pl.Series) -> float:
    """Fit on three rows of four, chosen at random, and take the error of each system on the others."""
    held_out = pl.Series(np.random.default_rng(0).random(len(y)) < 1 / 4)
    model = ExtraTreesRegressor(n_estimators=200, random_state=0).fit(x.filter(~held_out), y.filter(~held_out))
    table = pl.DataFrame({"system": x["system"], "y": y}).filter(held_out)
    table = table.with_columns(error=(pl.Series(model.predict(x.filter(held_out))) - table["y"]).abs())
    strata = table.group_by("system").agg(pl.col("error").mean() / pl.col("y").mean())
    return float(strata["error"].to_numpy().max())


if __name__ == "__main__":
    n = 64
    while (error := worst_error(*computed(n))) > GOOD_ENOUGH and n < MOST:
        print(f"{n} specs: the worst stratum is off by {error:.1%}")
        n *= 2
    print(f"{n} specs: the worst stratum is off by {error:.1%}; done")
