"""Where the parts of a run are, under the names of scythe-engine.

Input: a run's address. Output: keys in the run's bucket, as `boto3` takes them; for a run in a folder, absolute paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from scythe_cli.api import places
from scythe_cli.core import layout
from scythe_cli.experiment.file_reference import S3Url
from scythe_cli.storage.address import Address, Scheme

if TYPE_CHECKING:
    from scythe_cli.run.run import Run


class Located(Protocol):
    """An object that knows where a run is."""

    @property
    def address(self) -> str:
        """The run's folder: an absolute path, or s3://."""

    @property
    def prefix(self) -> str:
        """The run's folder as a key, with a slash at the end."""

    @property
    def run(self) -> Run:
        """The run."""


class RunKeys:
    """Keys in the run's bucket; absolute paths for a run in a folder."""

    @property
    def prefix(self: Located) -> str:
        """The run's folder, with a slash at the end."""
        return f"{places.key_of(self.address)}/"

    @property
    def artifact_prefix(self: Located) -> str:
        """The folder of the input files, with a slash at the end."""
        return f"{self.prefix}{layout.ARTIFACTS}/"

    def construct_artifact_key(self: Located, field_name: str, file_name: str) -> str:
        """An input file of a field."""
        return f"{self.prefix}{layout.ARTIFACTS}/{field_name}/{file_name}"

    def construct_specs_filekey(self: Located, filename: str) -> str:
        """A table of specs."""
        return f"{self.prefix}{filename}{layout.TABLE_SUFFIX}"

    @property
    def specs_filename(self) -> str:
        """The name of the table of specs, without its suffix."""
        return layout.SPECS.removesuffix(layout.TABLE_SUFFIX)

    @property
    def specs_filekey(self: Located) -> str:
        """specs.pq."""
        return f"{self.prefix}{layout.SPECS}"

    @property
    def manifest_filekey(self: Located) -> str:
        """manifest.yml."""
        return f"{self.prefix}{layout.MANIFEST}"

    @property
    def io_spec_filekey(self: Located) -> str:
        """experiment_io_spec.yml."""
        return f"{self.prefix}{layout.IO_SPEC}"

    @property
    def input_artifacts_filekey(self: Located) -> str:
        """input_artifacts.yml."""
        return f"{self.prefix}{layout.INPUT_ARTIFACTS}"

    @property
    def final_results_dirkey(self: Located) -> str:
        """The folder of the final tables, with a slash at the end."""
        return f"{self.prefix}{layout.FINAL}/"

    @property
    def scalars_filekey(self: Located) -> str:
        """scalars.pq."""
        return f"{self.prefix}{layout.final(layout.SCALARS)}"

    def as_uri(self: Located, key: str) -> str:
        """The address of a key: `s3://bucket/key`; in a folder the path itself."""
        address = Address.parse(self.address)
        return S3Url(f"{address.server}/{key}") if address.scheme is Scheme.S3 else key

    def list_results_files(self: Located, s3_client: Any = None) -> dict[str, str]:  # noqa: ARG002 - as in scythe-engine
        """The key of each final table by name; `results()` gives addresses."""
        from scythe_cli.operations.scan import final_tables

        return {name: f"{self.prefix}{layout.final(name)}" for name in final_tables(self.run.store)}
