"""The sensitivity indices of the design itself: Morris and Saltelli, computed by SALib.

Input: what the manifest keeps of the design, and the outputs of the finished rows. Output: indices by output and input.

A design is crossed with other fields by repeating each of its points; the repetitions count as further trajectories, or
base samples. Trajectories and base samples with a point that failed or is missing are left out as a whole.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from scythe_cli.core.extras import load_extra
from scythe_cli.designs.points import MORRIS_LEVELS, SENSITIVITY, sampled_points
from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.report.rows import Floats, ReportBlock

_KEPT = {"morris": ("mu", "mu_star", "mu_star_conf", "sigma"), "saltelli": ("S1", "S1_conf", "ST", "ST_conf")}
LEAST_SETS = 4
"""Trajectories, or base samples, that an index is computed from at least."""
MOST_VALUES = 200_000_000
"""Points times outputs that are held in memory."""


class DesignOutputs:
    """The outputs of a run whose specs a design for sensitivity made, by the place of the spec in the design.

    Args:
        design: what the manifest keeps.
        total: specs of the run.
        columns: the inputs, in the order of the chunks.
        outputs: the places of the outputs that are numbers.
    """

    def __init__(
        self, design: Mapping[str, Any] | None, total: int, columns: Sequence[str], outputs: Sequence[int]
    ) -> None:
        self.notes: list[str] = []
        self._design = design or {}
        self._outputs = list(outputs)
        self._columns = list(columns)
        self.method = str(self._design.get("method", ""))
        self._space = _mapping(self._design.get("space"))
        self.fields: list[str] = [str(name) for name in self._space]
        self._values: dict[int, Floats] = {}
        self._points: Floats | None = None
        if self.method in SENSITIVITY and self.fields and self._is_whole(total):
            self._points = self._unit_points()
        if self._points is not None:
            self._repeats = total // len(self._points)
            self._values = {at: np.full(total, np.nan) for at in self._outputs}
            self._misfit = False

    @property
    def _set_size(self) -> int:
        """The points of a trajectory, or of a base sample."""
        return len(self.fields) + 1 if self.method == "morris" else 2 * len(self.fields) + 2

    def _is_whole(self, total: int) -> bool:
        points = self._design.get("points")
        if not isinstance(points, int) or points < 1 or total % points:
            self.notes.append(f"the run does not have all specs of its {self.method} design: no {self.method} indices")
            return False
        if total * len(self._outputs) > MOST_VALUES:
            self.notes.append(f"the run is too large for {self.method} indices in memory")
            return False
        return True

    def _unit_points(self) -> Floats | None:
        """The design's points in the unit cube, made again."""
        n, seed, points = (self._design.get(key) for key in ("n", "seed", "points"))
        if not isinstance(n, int) or not isinstance(seed, int) or seed < 0 or n * self._set_size != points:
            self.notes.append(f"the manifest does not say how the {self.method} design was made: no indices")
            return None
        try:
            load_extra("SALib.analyze.sobol", extra="design", purpose=f"the {self.method} indices of a report")
            found = sampled_points(self.method, len(self.fields), n, seed)
        except ConfigError as exc:
            self.notes.append(exc.message)
            return None
        if len(found) != points:
            self.notes.append(f"other versions of the libraries make another {self.method} design: no indices")
            return None
        return found

    def add(self, chunk: ReportBlock) -> None:
        """Add the outputs of one chunk."""
        if self._points is None:
            return
        for at, values in self._values.items():
            values[chunk.rows] = chunk.outputs[at]
        self._misfit = self._misfit or not self._fits(chunk)

    def _fits(self, chunk: ReportBlock) -> bool:
        """Whether the inputs rise with the points: else other versions made the design, or the table was edited."""
        assert self._points is not None  # noqa: S101 - the caller has looked
        points = self._points[chunk.rows // self._repeats]
        for number, name in enumerate(self.fields):
            if name not in self._columns:
                return False
            values = chunk.inputs[self._columns.index(name)]
            levels = _mapping(self._space.get(name)).get("levels")
            if levels is None and np.isfinite(values).all():
                ordered = values[np.argsort(points[:, number], kind="stable")]
                if (np.diff(ordered) < -1e-9 * np.abs(ordered).max(initial=0.0)).any():
                    return False
        return True

    def indices(self) -> dict[int, dict[str, dict[str, float]]]:
        """By output and input; empty where the design was none of these, or the run is too incomplete."""
        if self._points is None:
            return {}
        if self._misfit:
            self.notes.append(f"the specs are not those of the {self.method} design: no {self.method} indices")
            return {}
        found = {at: self._of(values) for at, values in self._values.items()}
        if not any(found.values()):
            self.notes.append(f"too few complete sets of specs for {self.method} indices")
        return {at: one for at, one in found.items() if one}

    def _of(self, values: Floats) -> dict[str, dict[str, float]]:
        size = self._set_size
        # point by point, each repeated: (set, point of the set, repetition) -> (repetition and set, point of the set)
        sets = values.reshape(-1, size, self._repeats).transpose(2, 0, 1).reshape(-1, size)
        whole = np.isfinite(sets).all(axis=1)
        if whole.sum() < LEAST_SETS or np.ptp(sets[whole]) == 0:
            return {}
        problem = {
            "num_vars": len(self.fields),
            "names": self.fields,
            "bounds": [[0.0, 1.0]] * len(self.fields),
        }
        seed = int(self._design["seed"])
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if self.method == "morris":
                result = self._morris(problem, sets[whole], whole, seed)
            else:
                # without the matrices for second-order indices: A, AB of each field, B
                order = [*range(len(self.fields) + 1), size - 1]
                analyze = load_extra("SALib.analyze.sobol", extra="design", purpose="saltelli indices").analyze
                flat = sets[whole][:, order].ravel()
                result = analyze(problem, flat, calc_second_order=False, seed=seed)
        kept = _KEPT[self.method]
        return {name: {key: float(result[key][at]) for key in kept} for at, name in enumerate(self.fields)}

    def _morris(self, problem: dict[str, Any], sets: Floats, whole: Any, seed: int) -> Any:
        assert self._points is not None  # noqa: S101 - the caller has looked
        analyze = load_extra("SALib.analyze.morris", extra="design", purpose="morris indices").analyze
        size = self._set_size
        points = np.tile(self._points.reshape(-1, size, len(self.fields)), (self._repeats, 1, 1))[whole]
        flat = points.reshape(-1, len(self.fields))
        return analyze(problem, flat, sets.ravel(), num_levels=MORRIS_LEVELS, seed=seed)


def _mapping(node: Any) -> dict[str, Any]:
    return node if isinstance(node, dict) else {}
