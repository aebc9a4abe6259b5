"""`scythe sample`: the table of specs that a design makes, to look at before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.cli import options
from scythe_cli.cli.output import put, running_user_code
from scythe_cli.core.printable import printable
from scythe_cli.errors import ConfigError, StoreError, did_you_mean

if TYPE_CHECKING:
    from scythe_cli.designs.design import Design
    from scythe_cli.experiment.config import LoadedSettings
    from scythe_cli.experiment.settings import DesignSettings

_KINDS = (".csv", ".parquet")


def sample(
    file: options.ExperimentFile = Path("experiment.yml"),
    *,
    design: options.Design = None,
    n: options.Points = None,
    seed: options.Seed = None,
    output: options.TableFile = None,
    sets: options.Sets = None,
) -> None:
    """Write the table of specs that the design in FILE makes. Runs nothing."""
    if output is not None and output.suffix.lower() not in _KINDS:
        raise ConfigError(f"-o {output}: give a name that ends in .csv or .parquet")
    from scythe_cli.experiment import config, experiment
    from scythe_cli.preparation.prepare import design_of

    loaded = config.load(file, sets=sets or [])
    settings = _settings(loaded, design, n, seed)
    with running_user_code():
        found = experiment.load(loaded.file.experiment, loaded.folder, place=loaded.place("experiment"))
    made = design_of(loaded, found, settings)
    for note in made.notes:
        put(printable(f"note: {note}"), err=True)
    _write(made, output)


def _settings(loaded: LoadedSettings, method: str | None, n: int | None, seed: int | None) -> DesignSettings:
    """The design of the file with what the flags replace."""
    from scythe_cli.designs.design import DEFAULT_POINTS
    from scythe_cli.designs.points import LISTED
    from scythe_cli.experiment.settings import DESIGNS, DesignSettings

    if method is not None and method not in DESIGNS:
        near, known = did_you_mean(method, DESIGNS), ", ".join(DESIGNS)
        raise ConfigError(f"--design {method} is not a design.{near} Known: {known}")
    given = loaded.file.specs
    if not isinstance(given, DesignSettings):
        if method is None:
            hint = "specs: {design: sobol, n: 64} in the file, or --design sobol"
            raise ConfigError(f"{loaded.place('specs')}  specs is a table, not a design", hint=hint)
        given = DesignSettings.model_validate({"design": method, "n": None if method in LISTED else DEFAULT_POINTS})
    changes = {"design": method, "n": n, "seed": seed}
    if method in LISTED and n is None:
        given = given.model_copy(update={"n": None})
    return given.model_copy(update={key: value for key, value in changes.items() if value is not None})


def _write(made: Design, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(made.table.write_csv())
        return
    try:
        if output.suffix.lower() == ".csv":
            made.table.write_csv(output)
        else:
            made.table.write_parquet(output)
    except OSError as exc:
        raise StoreError(f"cannot write {output}: {exc.strerror or exc}") from exc
    put(printable(f"wrote {output}: {made.table.height:,} specs, {made.table.width} fields"), err=True)
