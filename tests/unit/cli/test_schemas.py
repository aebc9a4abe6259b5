"""The schemas: fresh, valid, and of one mind with what reads the files."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from scythe_cli.cli import schemas
from scythe_cli.errors import ConfigError
from scythe_cli.experiment import config
from scythe_cli.experiment.settings import ENGINES, SECTIONS

FOLDER = Path(__file__).parents[3] / "schemas"
HEAD = "experiment: a:b\nspecs: specs.csv\n"


@pytest.mark.parametrize("document", schemas.MODELS)
def test_schemas_are_fresh(document: str) -> None:
    file = FOLDER / schemas.file_name(document)
    assert file.read_text(encoding="utf-8") == schemas.text(document), "run `python -m scythe_cli.cli.schemas`"


def test_no_schema_is_left_of_a_document_that_is_gone() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {schemas.file_name(document) for document in schemas.MODELS}


@pytest.mark.parametrize("document", schemas.MODELS)
def test_schemas_are_schemas(document: str) -> None:
    schema = schemas.schema(document)
    jsonschema.Draft7Validator.check_schema(schema)
    assert "$ref" not in schemas.text(document)


def test_write_makes_the_files(tmp_path: Path) -> None:
    written = schemas.write(tmp_path / "new")
    assert [file.name for file in written] == [schemas.file_name(document) for document in schemas.MODELS]
    assert json.loads(written[0].read_text())["$schema"] == schemas.DRAFT


def nodes(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, node in schema["properties"].items():
        found += [(name, node)] if "properties" not in node else [(name, node), *nodes(node)]
    return found


def test_every_key_has_what_an_editor_shows() -> None:
    schema = schemas.schema("experiment")
    keys = nodes(schema)
    assert len(keys) == len(config.settings()) + len(SECTIONS)
    assert all(node["description"] for _, node in keys)
    sections = [schema, *(node for _, node in keys if "properties" in node)]
    assert all(node["additionalProperties"] is False for node in sections)
    assert schema["properties"]["engine"]["enum"] == [*ENGINES]
    plain = {
        "engine",
        "fresh_workers",
        "copy_remote",
        "allow_private",
        "high_memory",
        "high_cpu",
        "has_gpu",
        "factor",
        "max_depth",
        *("tasks", "cpus_per_task", "resubmit"),
    }
    assert all(node.get("examples") for name, node in keys if name not in plain and "properties" not in node)


@pytest.mark.parametrize(
    "text",
    [
        "run: {timeout: 10m, grace: 1h30m, flush: 45}",
        "run: {timeout: 1.5, max_failures: 5%, memory: 4GiB}",
        "run: {timeout: none, max_failures: all, memory: none, leaf_size: auto, workers: 3}",
        "run: {timeout: 500ms, max_failures: 12, memory: 500 MB, leaf_size: 4096}",
        "storage: ./scythe-runs",
        "storage: s3://bucket/prefix",
        "storage: /absolute",
        "name: building_energy",
        "engine: hatchet",
        "resources: {has_gpu: true}\ntree: {factor: 2, max_depth: 0}\nartifacts: {copy_remote: true}",
    ],
)
def test_what_is_read_is_valid(text: str) -> None:
    config.parse(HEAD + text)
    jsonschema.validate(YAML(typ="safe").load(HEAD + text), schemas.schema("experiment"))


@pytest.mark.parametrize(
    "text",
    [
        "run: {timout: 10m}",
        "run: {timeout: 10 minutes}",
        "run: {timeout: 0}",
        "run: {timeout: true}",
        "run: {flush: 0}",
        "run: {max_failures: 0.05}",
        "run: {max_failures: many}",
        "run: {memory: 4G}",
        "run: {memory: 1.5}",
        "run: {retries: -1}",
        "run: {retries: one}",
        "run: {workers: 0}",
        "run: {leaf_size: 4097}",
        "run: {leaf_size: automatic}",
        "storage: ftp://host/x",
        "storage: 's3:/bucket'",
        "name: a//b",
        "name: 5",
        "engine: ray",
        "resources: {has_gpu: yes}",
        "tree: {factor: 1}",
        "extra: 1",
        "run: 5",
    ],
)
def test_what_is_refused_is_underlined(text: str) -> None:
    with pytest.raises(ConfigError):
        config.parse(HEAD + text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(YAML(typ="safe").load(HEAD + text), schemas.schema("experiment"))


def test_the_experiment_is_required() -> None:
    with pytest.raises(jsonschema.ValidationError, match="'experiment' is a required property"):
        jsonschema.validate({"specs": "a.csv"}, schemas.schema("experiment"))


def test_a_dump_is_valid() -> None:
    text = config.dump(config.parse(HEAD + "run: {timeout: 90, memory: 4GiB, max_failures: 2.5%}"))
    jsonschema.validate(YAML(typ="safe").load(text), schemas.schema("experiment"))
