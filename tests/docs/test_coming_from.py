"""Each line of docs/coming-from-scythe-engine.md names a promise; this table names the test that holds it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/coming-from-scythe-engine.md"
WORKFLOWS, ARTIFACTS = "live/test_hatchet_workflows.py", "unit/storage/test_artifacts.py"
CALLS, RUNS = "live/test_original_calls.py", "cli/test_original_runs.py"
README, PYTHON = "live/test_original_readme.py", "live/test_python.py"
API, PLACES, WORKER = "unit/test_api.py", "unit/api/test_places.py", "unit/compat/test_worker_config.py"

HELD = {
    "The run directory": (README, "test_the_run_directory_is_the_readmes"),
    "The MultiIndex of the final tables": (README, "test_scalars_have_the_specs_as_multiindex"),
    '`version="bumpmajor"': (README, "test_versions_count_up"),
    "`Register`'s `name`": (PYTHON, "test_how_input_files_reach_the_function"),
    "`BaseExperiment(runnable=...)` as well": (CALLS, "test_nothing_fails"),
    "`allocate` takes its arguments": (CALLS, "test_versions_are_found_with_a_client_that_is_ignored"),
    "`run.model_dump": (CALLS, "test_models_hold_runs_versions_and_experiments"),
    "`run.prefix`": (CALLS, "test_keys_are_those_of_the_bucket_and_paths_in_a_folder"),
    "`spec.storage_settings`": (CALLS, "test_a_spec_knows_its_bucket_and_prefix"),
    "`spec.make_multiindex": (API, "test_make_multiindex_in_the_order_of_scythe_engine"),
    "A spec inside a spec": ("unit/spec_table/test_nested_files.py", "test_remote_files_inside_are_kept"),
    "`pd.Timestamp`": (CALLS, "test_pandas_moments_reach_the_function"),
    "A function that is annotated": (CALLS, "test_a_function_may_return_frames_only"),
    "`ExperimentRegistry.Include`": (
        "live/test_hatchet_workflows.py",
        "test_specs_are_runs_of_a_workflow_and_fail_alone",
    ),
    "`ExperimentRegistry.get_runnable(name)`": (CALLS, "test_a_registered_function_has_the_attributes_of_a_task"),
    "`ScytheWorkerConfig` with": (WORKER, "test_start_registers_functions_and_takes_workflows"),
    "`RecursionMap(path=None": ("unit/compat/test_files.py", "test_the_shape_of_the_tree"),
    "`SCYTHE_STORAGE_BUCKET`": (CALLS, "test_the_timeout_of_the_environment_is_the_frozen_one"),
    "New runs of the same name": (RUNS, "test_an_allocate_runs_beside_it"),
    "`scythe status` lists": (RUNS, "test_status_lists_it_as_made_by_scythe_engine"),
    "Runs inside of a run's folder": (RUNS, "test_runs_inside_of_a_run_are_listed_and_read"),
    "`open_run(name).scan()`": (RUNS, "test_scan_reads_its_scalars_by_column_names"),
    "Without `run_name`": (PLACES, "test_runs_under_the_default_name_of_scythe_engine_are_pointed_to_once"),
    "always a Hatchet server": (PYTHON, "test_a_run_tells_all_about_itself"),
    "`allocate` without `version`": (PYTHON, "test_versions_and_their_runs"),
    "the decorated name": (API, "test_register_gives_the_function_back"),
    "an unknown input field": ("unit/spec_table/test_read.py", "test_an_argument_that_is_no_field_names_the_nearest"),
    "a value for a field that the output does not have": (
        "cli/test_tables.py",
        "test_a_value_for_a_field_that_the_output_does_not_have_is_a_row_of_errors",
    ),
    "an output field may have": ("unit/experiment/test_signature.py", "test_fields_that_cannot_be"),
    "`experiment_id` and `sort_index` are required": (README, "test_versions_count_up"),
    "a failed task fails": (PYTHON, "test_failures_are_rows_and_result_gives_the_tables"),
    "one attempt has a limit": ("unit/experiment/test_config.py", "test_the_defaults_are_the_designs"),
    "a timeout cancels": ("live/test_faults_limits.py", "test_a_spec_that_hangs_holds_up_no_other"),
    "two input files of one name": (
        "unit/storage/test_artifacts.py",
        "test_one_object_for_each_field_name_and_content",
    ),
    "`ref` is Hatchet's": (README, "test_the_result_names_every_final_table"),
    "a run is waited for": (CALLS, "test_another_process_opens_the_run"),
    "times of runs are local": (PYTHON, "test_versions_and_their_runs"),
    "a spec's `workflow_run_id`": ("live/test_faults_limits.py", "test_another_attempt_may_succeed"),
    "a file input in the index": ("cli/test_input_files.py", "test_the_index_has_the_names_of_the_files"),
    "a frame without the spec's index": ("live/test_frames.py", "test_other_indexes_are_columns"),
    "a pandas-only frame": ("live/test_frames.py", "test_libraries_mix"),
    "one message and several objects": (README, "test_the_run_directory_is_the_readmes"),
    "a package's runs": (PLACES, "test_runs_of_a_package_are_in_the_current_folder"),
    "`allocate(s3_client=...)` and": (CALLS, "test_what_has_no_effect_is_said_once"),
    "`Register(schedule_timeout=...": (CALLS, "test_what_has_no_effect_is_said_once"),
    "`SCYTHE_TIMEOUT_SCATTER_GATHER_SCHEDULE`": (CALLS, "test_what_has_no_effect_is_said_once"),
    "`BaseSpec`": ("unit/compat/test_replaced_names.py", "test_an_import_names_the_replacement"),
    "The error classes": (API, "test_nothing_to_be_found"),
}
"""How each line begins, and the test that holds it."""


def lines() -> list[str]:
    """The bullets and the rows of the page, from its first promise on."""
    text = PAGE.read_text().partition("## What is the same")[2].partition("## What a notebook needs")[0]
    bullets = re.findall(r"^- (.+)", text, re.MULTILINE)
    rows = re.findall(r"^\| (.+?) \|", text, re.MULTILINE)
    return bullets + [row for row in rows if row != "before"]


@pytest.mark.parametrize("line", lines())
def test_a_line_is_held_by_a_test(line: str) -> None:
    assert [begin for begin in HELD if line.startswith(begin)], f"no test is named for: {line}"


@pytest.mark.parametrize("begin", HELD)
def test_a_named_test_exists_and_its_line_too(begin: str) -> None:
    file, name = HELD[begin]
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()
    assert any(line.startswith(begin) for line in lines())
