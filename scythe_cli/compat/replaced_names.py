"""Names of scythe-engine that do not exist here, and what to write instead.

Input: a name that an import asks for. Output: an `ImportError` with the replacement.
"""

from __future__ import annotations

_ERRORS = "scythe_cli.errors.NotFoundError"
_BAD_SPECS = "scythe_cli.errors.TableError"
_ENTRY = "scythe_cli.errors.EntryPointError"
_RESULT = "`ref.result()` returns a dict: table -> address"

REPLACEMENTS = {
    "BaseNotFoundError": f"catch {_ERRORS}",
    "BaseSpec": "derive from ExperimentInputSpec",
    "DatetimeFormat": "use ExperimentRun.timestamp or ExperimentRun.dt_str",
    "DuplicateInputArtifactsError": "two input files may have the same name",
    "ExperimentFunction": "annotate with Callable[..., ExperimentOutputSpec]",
    "ExperimentIndexAdditionalDataDoesNotMatchNRowsError": "catch ValueError",
    "ExperimentIndexAdditionalDataOverlapsWithSpecError": "catch ValueError",
    "ExperimentIndexNotSerializableError": "catch ValueError",
    "ExperimentNotFoundError": f"catch {_ERRORS}",
    "ExperimentRunManifest": "read manifest.yml of the run, or `scythe status RUN --json`",
    "ExperimentRunNotFoundError": f"catch {_ERRORS}",
    "ExperimentSpecsMismatchError": f"catch {_BAD_SPECS}",
    "ExperimentTypeExists": f"catch {_ENTRY}",
    "ExperimentTypeNotFound": f"catch {_ENTRY}",
    "ExperimentVersionNotFoundError": f"catch {_ERRORS}",
    "FileReferenceMixin": "derive from ExperimentInputSpec",
    "GatheredExperimentRuns": "use ExperimentRun.scalars() and ExperimentRun.errors()",
    "InputArtifactLocations": "read input_artifacts.yml of the run",
    "RecursionSpec": "use RecursionMap(factor=..., max_depth=...)",
    "ResultFileRefsInDataframesError": "a frame may not be called result_file_refs; its spec fails as invalid_output",
    "ScalarInDataframesError": "a frame may not be called scalars; its spec fails as invalid_output",
    "ScatterGatherInput": "use BaseExperiment(experiment=...).allocate(specs)",
    "ScatterGatherResult": _RESULT,
    "SerializableRunnable": "keep the experiment's name in a str field, and look it up with "
    "ExperimentRegistry.get_runnable(name)",
    "Standalone": "a registered function stays a function: annotate with Callable",
    "TimeoutSettings": "use Register(execution_timeout=...), or run.timeout in experiment.yml",
    "WorkerNameConfig": "use ScytheWorkerConfig().computed_name",
    "check_experiment_exists": "use open_run(name)",
    "combine_experiment_outputs": _RESULT,
    "hatchet": "use `ref.result()` and `open_run(name).status()`; for workflows of your own, hatchet_sdk.Hatchet()",
    "raise_on_forbidden_experiment": "a name that cannot be used is refused by allocate",
    "s3_client": 'use boto3.client("s3"); scythe needs no client from you',
    "save_and_upload_parquets": "return frames in ExperimentOutputSpec.dataframes",
    "scatter_gather": "use BaseExperiment(experiment=...).allocate(specs), then `ref.result()`",
    "serialize_df_dict": "return frames in ExperimentOutputSpec.dataframes",
    "sift_results": "use ExperimentRun.scalars() and ExperimentRun.errors()",
    "timeout_settings": "use Register(execution_timeout=...), or run.timeout in experiment.yml",
    "transpose_dataframe_dict": "use pandas.concat over the frames of one name",
}
"""What to write instead, by name."""


def refuse(name: str) -> ImportError:
    """The error of importing a name that was replaced."""
    return ImportError(f"scythe_cli has no {name}: {REPLACEMENTS[name]} (docs/coming-from-scythe-engine.md)", name=name)
