"""The JSON Schemas that editors and scripts check our files and `--json` documents with.

Input: the models. Output: `schemas/<name>.schema.json`, one for each row of `MODELS`:

    python -m scythe_cli.cli.schemas [FOLDER]
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaMode

MODELS = {
    "experiment": "scythe_cli.experiment.settings:ExperimentFile",
    "manifest": "scythe_cli.run.run:Manifest",
    "allocate": "scythe_cli.cli.documents:AllocateDocument",
    "plan": "scythe_cli.operations.estimate:Plan",
    "estimate": "scythe_cli.operations.estimate:Estimate",
    "status": "scythe_cli.operations.status:RunStatus",
    "runs": "scythe_cli.cli.documents:RunsDocument",
    "show": "scythe_cli.show.show:Shown",
    "gather": "scythe_cli.operations.gather:FinalReport",
    "download": "scythe_cli.operations.download:DownloadReport",
    "compare": "scythe_cli.operations.compare:Comparison",
    "report": "scythe_cli.report.document:Report",
    "cancel": "scythe_cli.operations.cancel:Cancelled",
    "remove": "scythe_cli.cli.documents:RemoveDocument",
    "error": "scythe_cli.cli.documents:ErrorDocument",
}
"""Document -> the model (or dataclass) it is read into or written from. A new document is a new line here.

`plan` is what `allocate --dry-run --json` prints, `estimate` what `allocate --probe K --json` prints, `runs` what
`status --json` prints without a RUN, and `error` what any command prints that ends without another document.
"""

READ = frozenset({"experiment"})
"""The documents that people write; scythe writes the others."""

DRAFT = "http://json-schema.org/draft-07/schema#"
"""The draft that editors know best."""


_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)


def file_name(document: str) -> str:
    """`experiment` -> `experiment.schema.json`."""
    return f"{document}.schema.json"


def schema(document: str) -> dict[str, Any]:
    """The schema of one document, without references: in this draft a reference hides the description next to it."""
    home, _, name = MODELS[document].partition(":")
    mode: JsonSchemaMode = "validation" if document in READ else "serialization"
    found: dict[str, Any] = TypeAdapter(getattr(import_module(home), name)).json_schema(mode=mode)
    definitions = found.pop("$defs", {})
    described: dict[str, Any] = _described(_inlined(found, definitions))
    return {"$schema": DRAFT, "title": f"scythe {document}"} | described


def text(document: str) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(document), indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> list[Path]:
    """Write every schema into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for document in MODELS:
        files.append(folder / file_name(document))
        files[-1].write_text(text(document), encoding="utf-8")
    return files


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]] | {key: node[key] for key in node if key != "$ref"}
    return {
        key: _inlined(value, definitions)
        for key, value in node.items()
        if key != "title" or not isinstance(value, str)  # "Leaf Size" says no more than leaf_size
    }


def _described(node: Any) -> Any:
    """Give each property the line that a dataclass's docstring has for it under `Attributes:`."""
    if isinstance(node, list):
        return [_described(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _described(value) for key, value in node.items()}
    about, _, attributes = str(node.get("description", "")).partition("\n\nAttributes:\n")
    if not attributes:
        return node
    lines = {name: " ".join(line.split()) for name, line in _ATTRIBUTE.findall(attributes)}
    properties = {
        name: value | ({"description": lines[name]} if name in lines else {})
        for name, value in node["properties"].items()
    }
    return node | {"description": about, "properties": properties}


if __name__ == "__main__":
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "schemas")):
        print(path)
