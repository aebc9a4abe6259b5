"""Fit a surrogate model, and grow its training set until the error is small. Repeat it: nothing is computed twice.

`python grow.py` uses the quick model of heating.py; `python grow.py office` uses EnergyPlus, as office.py describes.
"""

import importlib
import sys

import numpy as np
import polars as pl
from polars import selectors
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scythe_cli import BaseExperiment

study = importlib.import_module(sys.argv[1] if len(sys.argv) > 1 else "heating")


def computed(n: int) -> tuple[pl.DataFrame, pl.Series]:
    """The specs of the first n points of one design, of which only the new ones run."""
    run, ref = BaseExperiment(experiment=study.experiment).allocate(study.specs(n), version="bumpminor", reuse="latest")
    ref.result()
    x, y = run.xy()
    return x, y["heating"]


def predicted(x: pl.DataFrame, y: pl.Series) -> pl.DataFrame:
    """Fit on three rows of four, chosen at random, and predict the others."""
    held_out = np.random.default_rng(0).random(len(y)) < 1 / 4
    numbers = x.select(study.STRATUM, selectors.numeric()).to_dummies(study.STRATUM).to_numpy()
    surrogate = GaussianProcessRegressor(Matern(3.0, nu=2.5), alpha=1e-5, normalize_y=True)
    model = make_pipeline(StandardScaler(), surrogate).fit(numbers[~held_out], y.filter(~held_out))
    found = pl.DataFrame({"stratum": x[study.STRATUM], "simulated": y}).filter(held_out)
    return found.with_columns(predicted=pl.Series(model.predict(numbers[held_out])))


def errors(found: pl.DataFrame) -> pl.DataFrame:
    """Mean absolute error of each stratum, as a share of its mean."""
    error = (pl.col("predicted") - pl.col("simulated")).abs().mean() / pl.col("simulated").mean()
    return found.group_by("stratum").agg(error=error).sort("stratum")


if __name__ == "__main__":
    n, grown = study.FIRST, pl.DataFrame()
    while True:
        x, y = computed(n)
        found = predicted(x, y)
        by_stratum = errors(found).select(pl.lit(len(y)).alias("specs"), "stratum", "error")
        grown = pl.concat([grown, by_stratum])
        worst = by_stratum["error"].to_numpy().max()
        print(f"{len(y)} specs: the worst stratum is off by {worst:.1%}", flush=True)
        if worst <= study.GOOD_ENOUGH or n >= study.MOST:
            break
        n *= 2
    grown.write_csv("growth.csv")
    found.write_csv("held_out.csv")
