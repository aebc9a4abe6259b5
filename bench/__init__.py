"""Measurements against named peers, side by side in one run, as ratios: `python -m bench trivial gather`."""
