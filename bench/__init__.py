"""Measurements against named peers, side by side in one run, as ratios. `make bench`, or `python -m bench trivial gather`."""
