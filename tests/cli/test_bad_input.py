"""What bad input gets: one message with place, value and rule, exit code 2, and nothing written anywhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from command import FILE, MODULE, Done, project, scythe, together, tree

WITH_FILE = MODULE.replace(
    "class Out(", "class Weather(ExperimentInputSpec):\n    epw: FileReference\n\nclass Out("
).replace("input_spec: In", "input_spec: Weather")


@dataclass
class Bad:
    """A project that is wrong in one way.

    Attributes:
        told: what stderr must hold; {folder} stands for the project's folder.
        code: the exit code.
    """

    told: list[str]
    specs: str | bytes | None = "x\n1\n"
    module: str = MODULE
    file: str | bytes | None = FILE
    flags: list[str] = field(default_factory=list)
    code: int = 2


CASES = {
    "no experiment file": Bad(["error: experiment.yml  does not exist", "hint: `scythe init`"], file=None),
    "another that is missing": Bad(["error: other.yml  does not exist"], flags=["other.yml"]),
    "a folder for a file": Bad(["error: .  ", "folder"], flags=["."]),
    "not utf-8": Bad(["error: experiment.yml", "UTF-8"], file=b"experiment: \xff\xfe"),
    "not yaml": Bad(["error: experiment.yml:3  is not YAML: "], file="experiment: a:b\nspecs: [\n"),
    "an indented key": Bad(
        ["error: experiment.yml:2  begins with a blank: `specs:` must begin in the first column"],
        file="experiment: a:b\n  specs: [\n",
    ),
    "an empty file": Bad(["error: experiment.yml  is empty"], file=""),
    "an unknown key": Bad(
        ["experiment.yml:2  spec is not a setting. Did you mean 'specs'?"], file="experiment: doubles:double\nspec: a\n"
    ),
    "an unknown key below run": Bad(
        ["experiment.yml:3  run.timout is not a setting. Did you mean 'timeout'?"],
        file="experiment: doubles:double\nrun:\n  timout: 3\nspecs: specs.csv\n",
    ),
    "two problems at once": Bad(
        ["run.retries is 'x': must be a whole number", "run.memory is '4 GooB': "],
        file="experiment: doubles:double\nspecs: specs.csv\nrun: {retries: x, memory: 4 GooB}\n",
    ),
    "no such module": Bad(
        ["experiment.yml:1  there is no module 'dubles': no dubles.py", "{folder}"],
        file=FILE.replace("doubles:double", "dubles:double"),
    ),
    "no such function": Bad(
        ["experiment.yml:1  there is no function 'duble' in ", "doubles.py", "Did you mean 'double'?"],
        file=FILE.replace("doubles:double", "doubles:duble"),
    ),
    "no annotation": Bad(["doubles.py:18", "def double(input_spec: "], module=MODULE.replace(": In) -> Out", ")")),
    "a wrong annotation": Bad(["doubles.py:18", "-> "], module=MODULE.replace("-> Out", "-> float")),
    "an error in the module": Bad(
        ["doubles.py", "ZeroDivisionError: division by zero", "line 2, in <module>"], module="\n1 / 0\n"
    ),
    "an import that fails": Bad(["No module named 'nowhere'", "doubles.py"], module="import nowhere\n"),
    "a syntax error": Bad(["doubles.py", "line 1", "SyntaxError"], module="def double(:\n"),
    "no specs file": Bad(["experiment.yml:2  specs: specs.csv does not exist in {folder}"], specs=None),
    "no specs file in a flag": Bad(
        ["--set specs=spec.csv  specs: {folder}/spec.csv does not exist. Did you mean 'specs.csv'?"],
        flags=["--set", "specs=spec.csv"],
    ),
    "a scheme that is not read": Bad(
        ["experiment.yml:2  specs: gs://a/b.csv cannot be read: it must be a local path, s3:// or https://"],
        file=FILE.replace("specs.csv", "gs://a/b.csv"),
    ),
    "a folder for specs": Bad(
        ["experiment.yml:2  specs: empty is a folder ({folder}/empty), not a file of specs, and has no parquet files"],
        file=FILE.replace("specs.csv", "empty"),
    ),
    "a folder of cut parquet for specs": Bad(["specs.pq is cut off or damaged ("], file=FILE.replace("specs.csv", ".")),
    "the code for the file": Bad(
        [
            "doubles.py  is not YAML. FILE is the experiment file (experiment.yml); ",
            "`experiment: doubles.py:function`",
        ],
        flags=["doubles.py"],
    ),
    "the table for the file": Bad(
        ["specs.csv  is not YAML. FILE is the experiment file (experiment.yml); ", "`specs: specs.csv`"],
        flags=["specs.csv"],
    ),
    "an empty specs file": Bad(["specs.csv", "empty"], specs=""),
    "specs without rows": Bad(["specs.csv has no specs; give at least one row"], specs="x\n"),
    "an unknown suffix": Bad(
        ["here.epw", ".csv, .parquet (.pq), .feather"], file=FILE.replace("specs.csv", "here.epw")
    ),
    "a suffix of another file": Bad(
        ["experiment.yml:2  specs: specs.xlsx does not exist in {folder}. Did you mean 'specs.csv'?"],
        file=FILE.replace("specs.csv", "specs.xlsx"),
    ),
    "csv that is parquet": Bad(["specs.csv", "parquet"], specs=b"PAR1\x00\x01binary\xff\x00PAR1"),
    "a truncated row": Bad(["specs.csv:3"], specs="x,how\n1,well\n2\n"),
    "a missing column": Bad(["specs.csv", "x"], specs="how\nwell\n"),
    "a misspelt column": Bad(
        ["specs.csv  column 'hwo' is not a field of In.", "Did you mean 'how'?"], specs="x,hwo\n1,well\n"
    ),
    "an extra column": Bad(["specs.csv  column 'zebra' is not a field of In."], specs="x,zebra\n1,2\n"),
    "a row out of bounds": Bad(["specs.csv:3", "x", "2000", "1000"], specs="x\n1\n2000\n"),
    "a wrong word": Bad(
        ["specs.csv:3", "how = 'baldy': must be 'well', 'badly' or 'slowly'"], specs="x,how\n1,well\n1,baldy\n"
    ),
    "no number": Bad(["specs.csv:2", "x", "'abc'", "number"], specs="x\nabc\n"),
    "a required cell that is empty": Bad(
        ["specs.csv:3", "x: is empty, and needs a value"], specs="x,how\n1,well\n,well\n"
    ),
    "a sort_index twice": Bad(["specs.csv:4", "sort_index", "7"], specs="x,sort_index\n1,7\n2,8\n3,7\n"),
    "many errors in one report": Bad(
        ["specs.csv:2", "specs.csv:21", "30 "], specs="x\n" + "".join(f"{-n}\n" for n in range(1, 31))
    ),
    "a file that is missing": Bad(
        ["specs.csv:3", "epw", "nowhere.epw", "does not exist", "1 file cannot be read (rows are lines of the file"],
        module=WITH_FILE,
        specs="epw\nhere.epw\nnowhere.epw\n",
    ),
    "a column beside the fields that is called as an output": Bad(
        ["specs.csv  column 'note' has the name of a field of the output Out: rename one of them"],
        module=MODULE.replace("class In(ExperimentInputSpec)", 'class In(ExperimentInputSpec, extra="allow")'),
        specs="x,note\n1,a\n",
    ),
    "a column beside the fields with a name of ours": Bad(
        ["specs.csv  column 'sort_subindex' has a name that scythe uses itself: rename it"],
        module=MODULE.replace("class In(ExperimentInputSpec)", 'class In(ExperimentInputSpec, extra="allow")'),
        specs="x,sort_subindex\n1,2\n",
    ),
    "a computed feature that is called as an output": Bad(
        ["computed_features gives 'double', which is a field of the output Out: choose another name"],
        module=MODULE.replace(
            "class Out(", "    @property\n    def computed_features(self):\n        return {'double': 1}\n\nclass Out("
        ),
    ),
    "the parquet is cut": Bad(["specs.pq", "parquet"], file=FILE.replace("specs.csv", "specs.pq")),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, str], Done]]:
    folder = tmp_path_factory.mktemp("bad")
    commands = {}
    before = {}
    for name, bad in CASES.items():
        here = project(folder / name.replace(" ", "-"), module=bad.module)
        for file, content in (("experiment.yml", bad.file), ("specs.csv", bad.specs)):
            _write(here / file, content)
        (here / "here.epw").write_text("weather")
        (here / "empty").mkdir()
        pl.DataFrame({"x": [1.0] * 99}).write_parquet(here / "specs.pq")
        (here / "specs.pq").write_bytes((here / "specs.pq").read_bytes()[:-40])
        before[name] = tree(here)
        commands[name] = (["allocate", *bad.flags], here)
    return {name: (commands[name][1], before[name], done) for name, done in together(commands).items()}


def _write(path: Path, content: str | bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, ended: dict[str, tuple[Path, dict[str, str], Done]]) -> None:
    folder, before, done = ended[name]
    for words in CASES[name].told:
        assert words.format(folder=folder) in done.err, done.err
    assert (done.code, done.out) == (CASES[name].code, "")
    assert done.err.startswith("error: ")
    assert "/scythe_cli/" not in done.err  # of a traceback, only the user's frames
    assert tree(folder) == before


def test_it_writes_nothing_into_the_home_either(tmp_path: Path, clean_environment: Path) -> None:
    folder = project(tmp_path, "x\n-1\n")
    assert scythe("allocate", cwd=folder).code == 2
    assert tree(clean_environment) == {}


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "experiment.yml").chmod(0)
    _open_way(tmp_path)
    done = scythe("allocate", cwd=folder, as_nobody=True)
    assert (done.code, done.err) == (2, "error: experiment.yml  cannot be read: Permission denied\n")


def test_a_storage_that_may_not_be_written_is_4(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "scythe-runs").mkdir(mode=0o555)
    (folder / "scythe-runs").chmod(0o555)
    before = tree(folder)
    _open_way(tmp_path)
    done = scythe("allocate", cwd=folder, as_nobody=True)
    assert (done.code, done.out) == (4, "")
    assert f"error: cannot write {folder}/scythe-runs/doubles" in done.err
    assert "Permission denied" in done.err
    assert tree(folder) == before


def _open_way(folder: Path) -> None:
    """Have others than root reach a folder of this test."""
    for above in [folder, *folder.parents]:
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o055)


@pytest.mark.parametrize("storage", ["/proc/nothing", "a-file", "a-file/below"])
def test_a_storage_that_cannot_be_a_folder_is_4(tmp_path: Path, storage: str) -> None:
    folder = project(tmp_path)
    (folder / "a-file").touch()
    before = tree(folder)
    done = scythe("allocate", "--storage", storage, cwd=folder)
    assert (done.code, done.out) == (4, "")
    assert storage in done.err
    assert tree(folder) == before


def test_a_storage_of_an_unknown_kind(tmp_path: Path) -> None:
    folder = project(tmp_path)
    done = scythe("allocate", "--storage", "s4://bucket", cwd=folder)
    assert (done.code, done.out) == (2, "")
    assert "s3://" in done.err


NOWHERE = "http://127.0.0.1:9/x"


@pytest.mark.parametrize(
    ("specs", "table", "code", "told"),
    [
        (
            "s3://bucket/specs.csv",
            "",
            4,
            ["experiment.yml:2  specs: s3://bucket/specs.csv: ", "no AWS credentials found"],
        ),
        (f"{NOWHERE}.csv", "", 4, [f"experiment.yml:2  specs: {NOWHERE}.csv: ", "Connection refused"]),
        (
            "specs.csv",
            f"epw\n{NOWHERE}\ns3://bucket/x\n",
            4,
            ["specs.csv:2  epw", "specs.csv:3  epw", "2 files cannot"],
        ),
        ("specs.csv", f"epw\n{NOWHERE}\ngone.epw\n", 2, ["specs.csv:2  epw", "specs.csv:3  epw", "2 files cannot"]),
        ("specs.csv", f"epw,sort_index\n{NOWHERE},x\n", 2, ["specs.csv:2  epw", "sort_index = 'x'", "2 errors"]),
    ],
)
def test_inputs_whose_servers_are_away_or_refuse_are_4_unless_something_is_wrong(
    tmp_path: Path, specs: str, table: str, code: int, told: list[str]
) -> None:
    folder = project(tmp_path, table, module=WITH_FILE, file=FILE.replace("specs.csv", specs))
    before = tree(folder)
    env = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull}
    done = scythe("allocate", cwd=folder, env=env)
    assert (done.code, done.out) == (code, ""), done.err
    for words in told:
        assert words in done.err
    assert tree(folder) == before
