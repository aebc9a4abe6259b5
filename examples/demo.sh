#!/bin/sh
# The energy example, as a newcomer types it. Run by `make demo`; BIN is the folder of the installed scythe.
set -eu
: "${BIN:?run this with make demo}"
say() { printf '\n$ %s\n' "$*"; }

rm -rf demo
say scythe init demo --template energy
"$BIN/scythe" init demo --template energy
cd demo
say scythe allocate
"$BIN/scythe" allocate
say scythe status building_energy
"$BIN/scythe" status building_energy
say scythe download building_energy results
"$BIN/scythe" download building_energy results
code='
import pandas as pd

scalars = pd.read_parquet("results/final/scalars.pq").reset_index()  # the inputs are its index
scalars["weather_file"] = scalars["weather_file"].str.removesuffix(".epw")
columns = ["r_value", "lpd", "setpoint", "economizer", "weather_file", "heating", "cooling", "lighting", "fans"]
print(scalars[columns].head().round(2).to_string(index=False))
'
say "python -c '$code'"
"$BIN/python" -c "$code"
printf '\nEverything is in demo/: experiment.yml, building_energy.py, specs.csv; the runs in demo/scythe-runs,\n'
printf 'the tables in demo/results/final. Change a row of specs.csv and type: cd demo && ../.venv/bin/scythe allocate\n'
