"""Find the specs of a prepared run that an earlier run has computed.

Input: what was prepared, the storage, and which run to look at. Output: the same with a plan of what is taken over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.reuse.keys import identity, remote_identity
from scythe_cli.reuse.plan import Wanted, find_source, plan_reuse

if TYPE_CHECKING:
    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.storage.base import Store


@dataclass(frozen=True)
class Reuse:
    """What an allocate is to take over from an earlier run.

    Attributes:
        source: a RUN, or `latest`.
        changed_code: also what other code computed.
        by_sort_index: a spec is the same only where its sort_index is.
    """

    source: str
    changed_code: bool = False
    by_sort_index: bool = False


def with_reuse(prepared: Prepared, storage: Store, reuse: Reuse) -> Prepared:
    """Find the specs that an earlier run has computed. Writes nothing.

    Raises:
        NotFoundError: there is no such run.
        InputError: its rows are not those of this experiment, these models or this code.
    """
    source = find_source(storage, prepared.name, reuse.source)
    wanted = Wanted(
        prepared.experiment,
        prepared.file.run.seed,
        prepared.table,
        _identities(prepared),
        [] if prepared.features is None else prepared.features.column_names,
    )
    plan = plan_reuse(wanted, source, changed_code=reuse.changed_code, by_sort_index=reuse.by_sort_index)
    return replace(prepared, reuse=plan)


def _identities(prepared: Prepared) -> dict[str, dict[str, str | None]]:
    """By file field and address: what the file is, to compare it with the files of other runs."""
    content = {upload.key: identity(upload.source.name, upload.sha256) for upload in prepared.uploads.uploads}
    found: dict[str, dict[str, str | None]] = {field: {} for field in file_fields(prepared.experiment.input_model)}
    for (field, path), key in prepared.uploads.keys.items():
        found[field][str(path)] = content[key]
    copies = prepared.copies or {}
    for field, addresses in prepared.remote.items():
        for address in addresses:
            head = prepared.table.heads.get(address)
            copy = found[field].get(str(copies[address])) if address in copies else None
            found[field][address] = copy or remote_identity(address, head.etag if head else None)
    return found
