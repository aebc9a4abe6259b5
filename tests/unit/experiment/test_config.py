"""experiment.yml: what it gives, what overrules it, and what each mistake is told."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from scythe_cli.core import layout
from scythe_cli.core.units import MaxFailures
from scythe_cli.errors import ConfigError, ExitCode
from scythe_cli.experiment import config
from scythe_cli.experiment.settings import SpecsFile

HEAD = "experiment: building:simulate\nspecs: specs.csv\n"
FULL = """\
experiment: models/building.py:simulate
specs: s3://bucket/specs.parquet
name: building_energy
storage: ./runs
engine: hatchet
run:
  timeout: 10m
  retries: 3
  max_failures: 5%
  memory: 4GiB
  grace: 1h30m
  flush: 45
  leaf_size: 100
  workers: 4
artifacts:
  copy_remote: true
resources: {high_memory: true, high_cpu: false, has_gpu: true}
tree: {factor: 8, max_depth: 2}
"""
Load = Callable[..., config.LoadedSettings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str = HEAD, **given: object) -> config.LoadedSettings:
        Path("experiment.yml").write_text(text, encoding="utf-8")
        return config.load("experiment.yml", **({"environ": {}} | given))  # type: ignore[arg-type]  # tests give any

    return write_and_load


def message(load: Load, text: str = HEAD, **given: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, **given)
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return caught.value.message


def test_every_key_is_read_to_plain_numbers(load: Load, tmp_path: Path) -> None:
    file = load(FULL).file
    assert file.experiment == "models/building.py:simulate"
    assert file.specs == "s3://bucket/specs.parquet"
    assert file.name == "building_energy"
    assert file.storage == str(tmp_path / "runs")
    assert file.engine == "hatchet"
    assert file.run == config.RunSettings.model_construct(
        timeout=600.0,
        retries=3,
        max_failures=MaxFailures(percent=5.0),
        memory=4 << 30,
        grace=5400.0,
        flush=45.0,
        leaf_size=100,
        workers=4,
    )
    assert file.artifacts.copy_remote
    assert (file.resources.high_memory, file.resources.high_cpu, file.resources.has_gpu) == (True, False, True)
    assert (file.tree.factor, file.tree.max_depth) == (8, 2)


def test_the_defaults_are_the_designs(load: Load, tmp_path: Path) -> None:
    file = load("experiment: building:simulate\n").file
    assert (file.specs, file.name, file.engine) == (None, None, "local")
    assert file.storage == str(tmp_path / "scythe-runs")
    assert file.run == config.RunSettings()
    assert (file.run.timeout, file.run.retries, file.run.memory, file.run.workers) == (None, None, None, None)
    assert (file.run.grace, file.run.flush, file.run.leaf_size) == (30.0, 30.0, "auto")
    assert file.run.max_failures == MaxFailures()
    assert (file.tree.factor, file.tree.max_depth) == (16, 4)


@pytest.mark.parametrize("text", [HEAD, FULL, HEAD + "run: {timeout: none, max_failures: all}", HEAD + "run:\n"])
def test_a_dump_reads_back_as_an_equal_object(load: Load, text: str) -> None:
    file = load(text).file
    assert config.parse(config.dump(file)) == file


def test_a_frozen_file_takes_flags_and_nothing_from_the_environment(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCYTHE_RUN_RETRIES", "7")
    file = config.parse(config.dump(load(FULL).file), sets=["run.workers=2"])
    assert (file.run.workers, file.run.retries) == (2, 3)


def test_dump_writes_every_key_in_words(load: Load) -> None:
    text = config.dump(load(FULL).file)
    for line in ["  timeout: 10m", "  max_failures: 5%", "  memory: 4GiB", "  grace: 1h30m", "  flush: 45s"]:
        assert line in text.splitlines()
    assert "  workers: null" in config.dump(load(HEAD).file).splitlines()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run: {timout: 1m}", "run.timout is not a setting. Did you mean 'timeout'?"),
        ("timeout: 5m", "timeout is not a setting. Did you mean 'run.timeout'?"),
        ("speks: a.csv", "speks is not a setting. Did you mean 'specs'?"),
        ("resources: {gpu: true}", "resources.gpu is not a setting. Did you mean 'has_gpu'?"),
        ("zebra: 1", "zebra is not a setting."),
        ("<<: 1", "<< is not a setting."),
        (
            "tree: 5",
            "tree is a section: give its keys below it (factor, max_depth)",
        ),
        (
            "run: {timeout: 10 minutes}",
            "run.timeout is '10 minutes': must be a duration such as 45 (seconds), 30s, 10m or 1h30m",
        ),
        ("run: {timeout: 0}", "run.timeout is 0: must be more than 0"),
        ("run: {flush: 0s}", "run.flush is '0s': must be more than 0"),
        ("run: {retries: -1}", "run.retries is -1: must be 0 or more"),
        ("run: {retries: true}", "run.retries is true: must be a whole number"),
        ("run: {seed: }", "run.seed is empty: give a value, or leave it out for the default"),
        ("run: {workers: '4'}", "run.workers is '4': must be a whole number"),
        ("run: {workers: 0}", "run.workers is 0: must be 1 or more"),
        ("run: {leaf_size: 5000}", "run.leaf_size is 5000: must be auto or a whole number from 1 to 4096"),
        ("run: {memory: 4}", "run.memory is 4: must be at least 16MiB, with a unit, such as 4GiB"),
        ("run: {memory: 4G}", "run.memory is '4G': must be a size such as 500MB or 4GiB"),
        (
            "run: {max_failures: 0.05}",
            "run.max_failures is 0.05: must be a number of specs such as 12, a percentage such as 5%, all or none",
        ),
        ("name: 2024", "name is 2024: must be text; put it in quotes"),
        (
            "name: a//b",
            f"name is 'a//b': {layout.RUN_NAME_RULE}",
        ),
        (
            "engine: hatched",
            "engine is 'hatched': must be 'local', 'hatchet', 'shared' or 'slurm'. Did you mean 'hatchet'?",
        ),
        (
            "storage: ftp://host/x",
            "storage is 'ftp://host/x': must be a folder (in WSL, C: is /mnt/c) or s3://bucket/prefix",
        ),
        ("storage: C:\\runs", "storage is 'C:\\\\runs': must be a folder (in WSL, C: is /mnt/c) or s3://bucket/prefix"),
        (
            "storage: s3:/bucket",
            "storage is 's3:/bucket': must be a folder (in WSL, C: is /mnt/c) or s3://bucket/prefix",
        ),
        ("storage: [a]", "storage is ['a']: must be text; put it in quotes"),
        ("resources: {has_gpu: yes}", "resources.has_gpu is 'yes': must be true or false"),
        ("tree: {factor: 1}", "tree.factor is 1: must be 2 or more"),
        ("name: &a x", "&a: anchors and aliases are not read here; write the value out"),
        ("name: *a", "is not YAML: anchors and aliases are not read here; write the value out, or put it in quotes"),
        (
            "name: !!python/object:os.system x",
            "the tag !!python/object:os.system is not read here; write a plain value",
        ),
        ("specs: other.csv", "specs is given twice, first in line 2"),
        ("name: a: b", "is not YAML: a colon inside a value; put the value in quotes"),
        ("name: '@x", "is not YAML: a quote that is opened here is never closed"),
        ("name: @x", "is not YAML: a value that starts with this character must be in quotes"),
        ("---", "is not YAML: a second document begins here; one file holds one experiment"),
        ("? [a]", "a key must be a word"),
    ],
)
def test_each_mistake_is_told_with_its_line(load: Load, line: str, told: str) -> None:
    assert message(load, HEAD + line + "\n") == f"experiment.yml:3  {told}"


def test_a_tab_and_a_wrong_indentation_are_told_with_their_line(load: Load) -> None:
    assert message(load, HEAD + "run:\n\tretries: 1\n") == (
        "experiment.yml:4  is not YAML: a tab in the indentation; use spaces"
    )
    assert message(load, HEAD + "run:\n  retries: 1\n flush: 1\n") == (
        "experiment.yml:5  is not YAML: the indentation does not fit the lines above"
    )


def test_all_mistakes_come_at_once_in_the_order_of_the_file(load: Load) -> None:
    told = message(load, HEAD + "run:\n  workers: 0\n  timout: 1\nengine: x\n", sets=["run.retries=x"])
    assert told.splitlines() == [
        "experiment.yml:4  run.workers is 0: must be 1 or more",
        "experiment.yml:5  run.timout is not a setting. Did you mean 'timeout'?",
        "experiment.yml:6  engine is 'x': must be 'local', 'hatchet', 'shared' or 'slurm'",
        "--set run.retries=x  run.retries is 'x': must be a whole number",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_file_is_told(load: Load, text: str) -> None:
    assert message(load, text) == "experiment.yml  is empty: it must name at least the experiment and its specs"


@pytest.mark.parametrize("text", ["- a\n", "just words\n", "key:value\n"])
def test_a_file_that_is_no_mapping_is_told(load: Load, text: str) -> None:
    assert message(load, text) == "experiment.yml:1  must be a mapping, lines of `key: value`"


def test_a_deep_nest_is_told(load: Load) -> None:
    assert message(load, "[" * 5000) == "experiment.yml  is not YAML: nested too deeply"


def test_the_experiment_must_be_named(load: Load) -> None:
    told = "The function to run: module:function or path/to/file.py:function, relative to this file."
    assert message(load, "specs: a.csv\n") == f"experiment.yml  experiment is missing. {told}"
    assert message(load, "experiment: building\n") == (
        "experiment.yml:1  experiment is 'building': must be module:function or path/to/file.py:function"
    )


def test_the_specs_are_asked_for_when_they_are_needed(load: Load) -> None:
    assert load(HEAD).specs() == "specs.csv"
    with pytest.raises(ConfigError, match=r"experiment.yml  specs is missing: name a csv, parquet, "):
        load("experiment: a:b\n").specs()


def test_a_missing_file_names_where_it_was_looked_for_and_the_nearest(load: Load, tmp_path: Path) -> None:
    load()
    with pytest.raises(ConfigError) as caught:
        config.load("experment.yml")
    assert caught.value.message == (
        f"experment.yml  does not exist (looked in {tmp_path}). Did you mean 'experiment.yml'?"
    )
    assert caught.value.hint == (
        "`scythe init` writes a starter, `scythe init --from module:function` the file for a function of yours"
    )


def test_what_is_no_text_file_is_told(load: Load) -> None:
    load()
    Path("specs.bin").write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(ConfigError, match=r"specs.bin  is not UTF-8 text \(byte 4\); an experiment file is YAML"):
        config.load("specs.bin")
    Path("folder").mkdir()
    with pytest.raises(ConfigError, match=r"folder  is a folder; name the file, such as folder/experiment.yml"):
        config.load("folder")


def test_a_byte_order_mark_and_windows_line_ends_are_read(load: Load) -> None:
    assert load("\ufeff" + HEAD.replace("\n", "\r\n")).file.specs == "specs.csv"


def test_flag_beats_file_beats_environment_beats_register_beats_default(load: Load) -> None:
    options = {"execution_timeout": timedelta(minutes=1), "retries": 5}
    environ = {"SCYTHE_RUN_TIMEOUT": "2m"}
    in_file = HEAD + "run: {timeout: 3m}\n"
    assert load(HEAD).file.run.timeout is None
    assert load(HEAD, options=options).file.run.timeout == 60
    assert load(HEAD, options=options, environ=environ).file.run.timeout == 120
    assert load(in_file, options=options, environ=environ).file.run.timeout == 180
    assert load(in_file, options=options, environ=environ, sets=["run.timeout=4m"]).file.run.timeout == 240
    assert load(in_file, options=options).file.run.retries == 5
    assert load(HEAD + "run: {timeout: none}\n", options=options).file.run.timeout is None


def test_registers_options_can_come_later(load: Load) -> None:
    loaded = load(HEAD + "run: {retries: 0}\n")
    labels = {"high_memory": True, "has_gpu": {"value": "true"}, "rack": "b"}
    with_options = loaded.with_options({"execution_timeout": "1m", "retries": 5, "desired_worker_labels": labels})
    assert (with_options.file.run.timeout, with_options.file.run.retries) == (60, 0)
    assert (with_options.file.resources.high_memory, with_options.file.resources.has_gpu) == (True, True)
    assert with_options.place("run.timeout") == "Register(execution_timeout='1m')"
    assert with_options.place("run.retries") == "experiment.yml:3"
    assert with_options.place("run.flush") == "experiment.yml"


def test_a_wrong_option_of_register_is_told(load: Load) -> None:
    assert message(load, options={"retries": -1}) == "Register(retries=-1)  run.retries is -1: must be 0 or more"


def test_the_name_has_a_default(load: Load) -> None:
    assert load(HEAD).with_name("simulate").file.name == "simulate"
    assert load(FULL).with_name("simulate").file.name == "building_energy"


@pytest.mark.parametrize(
    ("environ", "storage"),
    [
        ({"SCYTHE_STORAGE": "s3://a/b"}, "s3://a/b"),
        ({"SCYTHE_STORAGE": "s3://a/b/", "SCYTHE_STORAGE_BUCKET": "other"}, "s3://a/b"),
        ({"SCYTHE_STORAGE_BUCKET": "bucket"}, "s3://bucket/scythe"),
        ({"SCYTHE_STORAGE_BUCKET": "bucket", "SCYTHE_STORAGE_BUCKET_PREFIX": "deep/er"}, "s3://bucket/deep/er"),
        ({"SCYTHE_STORAGE_BUCKET": "bucket", "SCYTHE_STORAGE_BUCKET_PREFIX": ""}, "s3://bucket"),
    ],
)
def test_the_environment_names_the_storage(load: Load, environ: dict[str, str], storage: str) -> None:
    assert load(HEAD, environ=environ).file.storage == storage
    assert config.find_storage(path="none.yml", environ=environ) == storage
    assert load(HEAD + "storage: s3://file/x\n", environ=environ).file.storage == "s3://file/x"


def test_the_environment_sets_run_keys_and_the_engine(load: Load) -> None:
    environ = {
        "SCYTHE_ENGINE": "hatchet",
        "SCYTHE_RUN_MAX_FAILURES": "5%",
        "SCYTHE_RUN_WORKERS": "3",
        "SCYTHE_RUN_GRACE": "",
    }
    file = load(HEAD, environ=environ).file
    assert (file.engine, file.run.max_failures, file.run.workers) == ("hatchet", MaxFailures(percent=5.0), 3)


def test_a_wrong_variable_is_told(load: Load) -> None:
    environ = {"SCYTHE_RUN_TIMOUT": "5m", "SCYTHE_RUN_RETRIES": "x", "SCYTHE_ENGINE": "ray"}
    assert set(message(load, environ=environ).splitlines()) == {
        "SCYTHE_RUN_TIMOUT=5m  run.timout is not a setting. Did you mean 'timeout'?",
        "SCYTHE_RUN_RETRIES=x  run.retries is 'x': must be a whole number",
        "SCYTHE_ENGINE=ray  engine is 'ray': must be 'local', 'hatchet', 'shared' or 'slurm'",
    }


def test_set_reaches_every_key(load: Load) -> None:
    values = {
        "experiment": "a:b",
        "specs": "s3://b/x.csv",
        "reuse": "latest",
        "name": "2024",
        "storage": "s3://b",
        "engine": "hatchet",
        "code.include": "a.txt, b/*.json",
        "run.timeout": "20m",
        "run.retries": "2",
        "run.max_failures": "all",
        "run.memory": "1GiB",
        "run.grace": "0",
        "run.flush": "1.5",
        "run.leaf_size": "auto",
        "run.nan": "fail",
        "run.keep_failed": "true",
        "run.seed": "7",
        "run.order": "longest",
        "run.workers": "2",
        "run.fresh_workers": "true",
        "artifacts.copy_remote": "true",
        "artifacts.allow_private": "true",
        "resources.high_memory": "true",
        "resources.high_cpu": "true",
        "resources.has_gpu": "true",
        "frames.max_file": "2GiB",
        "tree.factor": "4",
        "tree.max_depth": "0",
        "slurm.tasks": "20",
        "slurm.cpus_per_task": "8",
        "slurm.time": "4h",
        "slurm.partition": "long",
        "slurm.options": "--mem=8G, --account=lab",
        "slurm.setup": "module load python",
        "slurm.resubmit": "0",
    }
    assert list(values) == config.settings()
    file = load(HEAD, sets=[f"{key}={value}" for key, value in values.items()]).file
    assert (file.name, file.run.timeout, file.run.max_failures.off, file.run.flush) == ("2024", 1200, True, 1.5)
    assert (file.reuse, file.resources.has_gpu) == ("latest", True)
    assert file.code.include == ["a.txt", "b/*.json"]


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("run.timout=1", "--set run.timout=1  run.timout is not a setting. Did you mean 'timeout'?"),
        ("timeout=1", "--set timeout=1  timeout is not a setting. Did you mean 'run.timeout'?"),
        ("a.b.c=1", "--set a.b.c=1  a.b.c is not a setting."),
        ("run.workers", "--set run.workers  must be key=value, such as --set run.timeout=20m"),
        ("tree=1", "--set tree=1  tree is a section: give its keys below it (factor, max_depth)"),
        ("run.workers=many", "--set run.workers=many  run.workers is 'many': must be a whole number"),
    ],
)
def test_a_wrong_set_is_told(load: Load, flag: str, told: str) -> None:
    assert message(load, sets=[flag]) == told


def test_flags_of_their_own_are_told_by_their_name(load: Load) -> None:
    assert load(HEAD, flags={"engine": "hatchet", "storage": None}).file.engine == "hatchet"
    assert (
        message(load, flags={"engine": "ray"})
        == "--engine ray  engine is 'ray': must be 'local', 'hatchet', 'shared' or 'slurm'"
    )


def test_paths_in_the_file_start_from_its_folder_and_typed_ones_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "experiment.yml"
    file.write_text(HEAD + "storage: ../runs\n")
    monkeypatch.chdir(tmp_path)
    loaded = config.load("deep/experiment.yml", environ={})
    assert (loaded.file.storage, loaded.folder, loaded.path) == (
        str(tmp_path / "runs"),
        file.parent,
        Path("deep/experiment.yml"),
    )
    typed = config.load("deep/experiment.yml", environ={}, sets=["specs=mine.csv"], flags={"storage": "here"}).file
    assert (typed.storage, typed.specs) == (str(tmp_path / "here"), str(tmp_path / "mine.csv"))
    assert config.find_storage(path="deep/experiment.yml", environ={}) == str(tmp_path / "runs")
    assert config.find_storage("flag", path="deep/experiment.yml", environ={}) == str(tmp_path / "flag")
    assert config.find_storage(environ={}) == str(tmp_path / "scythe-runs")


def test_settings_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"experiment": "a:b", "storage": Path("runs"), "engine": None, "run.timeout": timedelta(seconds=5)}
    loaded = config.from_values(values, folder=tmp_path / "code", environ={"SCYTHE_ENGINE": "hatchet"})
    assert (loaded.file.storage, loaded.file.engine, loaded.file.run.timeout) == (str(tmp_path / "runs"), "hatchet", 5)
    with pytest.raises(
        ConfigError, match="engine='ray'  engine is 'ray': must be 'local', 'hatchet', 'shared' or 'slurm'"
    ):
        config.from_values({"experiment": "a:b", "engine": "ray"}, folder=tmp_path, environ={})


def test_nothing_can_be_changed_later(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().file.name = "x"  # type: ignore[misc]  # that is the point


TABLE = 'experiment: m:f\nspecs: {file: x.csv, separator: ";", decimal: ","}\n'


def test_a_table_with_how_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "e.yml").write_text(TABLE)
    loaded = config.load(tmp_path / "e.yml", environ={})
    assert loaded.specs() == SpecsFile(file="x.csv", separator=";", decimal=",")
    assert config.parse(config.dump(loaded.file)) == loaded.file


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("specs: {file: x.csv, separator: ';;'}", "e.yml:2  specs.separator is ';;': must be one character"),
        ("specs: {file: x.csv, decimal: ';'}", "e.yml:2  specs.decimal is ';': must be '.' or ','"),
        (
            "specs: {file: x.csv, separatr: ';'}",
            "e.yml:2  specs.separatr is not a setting of a table. Did you mean 'separator'? Known: ",
        ),
        (
            "specs: {separator: ';'}",
            "e.yml:2  specs.file is missing: specs is the address of a table, or ",
        ),
        ("specs: {file: x.csv, decimal: ','}", "e.yml:2  specs: separator and decimal are both ','"),
        ("specs: [a.csv, b.csv]", "e.yml:2  specs is a list: name one file, or a folder of parquet files"),
        (
            " specs: x.csv",
            "e.yml:2  begins with a blank: `specs:` must begin in the first column",
        ),
        ("specs:x.csv", "e.yml:2  has no blank after the colon: write `specs: x.csv`"),
        ("specs: x.csv\nretries: 3", "e.yml:3  retries is not a setting. Did you mean 'run.retries'?"),
        ("specs: ${NOWHERE}/x.csv", "e.yml:2  specs = '${NOWHERE}/x.csv': the environment variable NOWHERE is not set"),
        ("specs: {file: '${NOWHERE}/x.csv'}", "the environment variable NOWHERE is not set"),
        (
            "specs: x.csv\nstorage: ${NOWHERE}",
            "e.yml:3  storage = '${NOWHERE}': the environment variable NOWHERE",
        ),
    ],
)
def test_what_newcomers_write_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.yml").write_text(f"experiment: m:f\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        config.load("e.yml", environ={})
    assert wanted in caught.value.message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "- experiment: m:f\n- specs: x.csv\n",
            "e.yml:1  is a list: leave the dashes out, and write lines of",
        ),
        (
            " experiment: m:f\nspecs: x.csv\n",
            "e.yml:1  begins with a blank: `experiment:` must begin in",
        ),
    ],
)
def test_a_file_that_is_no_mapping_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, wanted: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load("e.yml", environ={})
    assert wanted in caught.value.message


def test_variables_in_paths_are_expanded(tmp_path: Path) -> None:
    (tmp_path / "e.yml").write_text("experiment: m:f\nspecs: {file: '${DATA}/x.csv'}\nstorage: s3://${BUCKET}/runs\n")
    loaded = config.load(tmp_path / "e.yml", environ={"DATA": "/data", "BUCKET": "mine"})
    assert str(loaded.specs()) == "/data/x.csv"
    assert loaded.file.storage == "s3://mine/runs"
