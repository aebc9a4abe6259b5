#!/bin/sh
# A surrogate of EnergyPlus whose design grows until it is good enough. Run by `make demo-surrogate`; BIN is the folder
# of the installed scythe.
set -eu
: "${BIN:?run this with make demo-surrogate}"
here=$(cd "$(dirname "$0")" && pwd)
say() { printf '\n$ %s\n' "$*"; }

rm -rf demo-surrogate
say scythe init demo-surrogate --template energy
"$BIN/scythe" init demo-surrogate --template energy
cp "$here/surrogate/grow.py" "$here/surrogate/office.py" "$here/surrogate/plot.py" demo-surrogate
cd demo-surrogate
say python grow.py office
"$BIN/python" grow.py office
say python plot.py
"$BIN/python" plot.py
printf '\nThe picture is demo-surrogate/growth.svg. Repeat `python grow.py office`: nothing is simulated again.\n'
