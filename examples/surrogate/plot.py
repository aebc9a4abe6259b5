"""Draw what grow.py found: the error of each stratum as the design grew, and the predictions of the last step."""

from pathlib import Path

import matplotlib as mpl
import polars as pl

mpl.use("svg")
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "scythe", "font.size": 9, "font.family": "sans-serif"})
from matplotlib import pyplot as plt  # noqa: E402 - after the choice of the output

if __name__ == "__main__":
    grown, held_out = pl.read_csv("growth.csv"), pl.read_csv("held_out.csv")
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained")
    for stratum, steps in grown.group_by("stratum", maintain_order=True):
        left.plot(steps["specs"], 100 * steps["error"], marker="o", label=Path(str(stratum[0])).stem[:28])
        points = held_out.filter(pl.col("stratum") == stratum[0])
        right.plot(points["simulated"], points["predicted"], marker="o", markersize=3, linestyle="")
    left.set(xlabel="specs", ylabel="error on rows not seen [%]", xscale="log", yscale="log")
    left.set_xticks(steps["specs"], labels=[f"{n:,}" for n in steps["specs"]])
    left.set_yticks([3, 10, 30, 100], labels=["3", "10", "30", "100"])
    left.minorticks_off()
    left.legend(frameon=False, fontsize=8)
    right.axline((0, 0), slope=1, color="gray", linewidth=0.8)
    right.set(xlabel="simulated [kWh/m2]", ylabel="predicted [kWh/m2]", xlim=(0, None), ylim=(0, None))
    figure.savefig("growth.svg", metadata={"Date": None})
    print("wrote growth.svg")
