"""Copy the weather files that specs.csv names, and that are not here yet, from the installed pyenergyplus package."""

import csv
import shutil
import sys
from pathlib import Path

try:
    from pyenergyplus.dataset import weatherdir
except ModuleNotFoundError:
    sys.exit("This example runs EnergyPlus: pip install 'scythe-runner[energy]'")

if __name__ == "__main__":
    here = Path(__file__).parent
    with (here / "specs.csv").open(newline="") as table:
        weather_files = {here / row["weather_file"] for row in csv.DictReader(table)}
    for weather_file in weather_files:
        if not weather_file.exists():
            weather_file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(weatherdir, weather_file.name), weather_file)
