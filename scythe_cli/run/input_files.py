"""The input files of a run: `control/inputs.yml`, and what the index of the final tables calls them.

Input: the uploads of an allocate, and what servers said about remote files. Output: for each file its name in the index
and the hash of its content; for a remote file that was not copied its address, version and size.

The address of a file inside a run differs from run to run, so that tables of two runs would not join on it. The index
has the file's own name instead; the address is in specs.pq.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, yaml_document
from scythe_cli.errors import ConfigError, KeyMissing
from scythe_cli.storage import file_names
from scythe_cli.storage.artifacts import artifact_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scythe_cli.storage.artifacts import Upload
    from scythe_cli.storage.base import Store
    from scythe_cli.storage.cache import Remote

Record = dict[str, Any]
"""A file: name, key, sha256, size; or, where it was not copied: address, etag, size."""


def describe_inputs(
    fields: Iterable[str],
    uploads: Sequence[Upload],
    remote: Mapping[str, Mapping[str, Remote | None]],
    sources: Mapping[str, str],
) -> dict[str, list[Record]]:
    """The files of a run by field.

    Args:
        fields: all file fields.
        uploads: the files that the run keeps.
        remote: by field, the addresses that stay where they are, and what their servers said.
        sources: the address that a copied file came from, by its path on this machine.
    """
    found: dict[str, list[Record]] = {field: [] for field in fields}
    names = index_names(uploads)
    for one in uploads:
        record = {"name": names[one.key], "key": one.key, "sha256": one.sha256, "size": one.size}
        came_from = sources.get(str(one.source))
        found[one.field].append({**record, "address": came_from} if came_from else record)
    for field, addresses in remote.items():
        for address, head in addresses.items():
            etag, size = (head.etag or None, head.size) if head else (None, None)
            found[field].append({"address": address, "etag": etag, "size": size})
    return found


def index_names(uploads: Iterable[Upload]) -> dict[str, str]:
    """What the index calls each file, by its key: its own name, with a hash where contents of a field share a name."""
    contents = _contents(uploads)
    found = {}
    for one in uploads:
        name = file_names.as_text(one.source.name)
        shared = len(contents[one.field, one.source.name]) > 1
        found[one.key] = file_names.with_hash(name, one.sha256) if shared else name
    return found


def shared_names(uploads: Sequence[Upload]) -> Iterator[tuple[str, str, int]]:
    """Each field and name that several contents share, and how many."""
    for (field, name), contents in _contents(uploads).items():
        if len(contents) > 1:
            yield field, name, len(contents)


def _contents(uploads: Iterable[Upload]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in uploads:
        found[one.field, one.source.name].add(one.sha256)
    return found


def encode_inputs(files: Mapping[str, list[Record]]) -> bytes:
    """The content of inputs.yml: YAML that is JSON too, a line for each file, since there may be a hundred thousand."""
    fields = [
        f"{json.dumps(field)}: [\n" + ",\n".join(f" {json.dumps(one, ensure_ascii=False)}" for one in records) + "\n]"
        for field, records in files.items()
    ]
    return ('{"files": {\n' + ",\n".join(fields) + "\n}}\n").encode()


def read_inputs(store: Store) -> dict[str, list[Record]]:
    """The files of a run by field; none of a run that an older version wrote."""
    try:
        text = store.read(layout.INPUTS).decode()
    except KeyMissing:
        return {}
    try:
        document = json.loads(text)
    except ValueError:  # somebody has edited it
        document = yaml_document.read(text, layout.INPUTS).data
    files = document.get("files")
    if not isinstance(files, dict):
        raise ConfigError(f"{store.locate(layout.INPUTS)}  files is missing")
    return files


class IndexNames:
    """What the index calls the input files of a run.

    Args:
        store: rooted at the run.
        experiment_id: identifies the run's own artifacts, also if the run has moved since their addresses were written.
    """

    def __init__(self, store: Store, experiment_id: str) -> None:
        self._experiment_id = experiment_id
        self._names = {
            field: {one["key"]: one["name"] for one in records if "key" in one}
            for field, records in read_inputs(store).items()
        }

    @property
    def fields(self) -> list[str]:
        """The fields with files that have names."""
        return [field for field, names in self._names.items() if names]

    def name(self, field: str, address: str | None) -> str | None:
        """The name of the file at an address of specs.pq; an address that is not the run's own stays."""
        key = artifact_key(address, self._experiment_id) if address is not None else None
        return self._names[field].get(key, address) if key is not None else address
