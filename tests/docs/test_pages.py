"""What the documentation shows is what happens: its blocks run, its links live, its lists are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import servers
import typer
from docpages import ROOT, Session, blocks

from scythe_cli.cli import app as cli
from scythe_cli.errors import ExitCode
from scythe_cli.experiment import config
from scythe_cli.experiment.settings import SECTIONS, ExperimentFile

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

FIRST_READ = ("README.md", "docs/tutorial.md")
"""Pages that `make test` runs too; `make docs` and `make test-slow` run all."""
RUN = [
    *("README.md", "docs/tutorial.md", "docs/coming-from-scythe-engine.md"),
    *("docs/how-to/artifacts.md", "docs/how-to/frames.md", "docs/how-to/resume-and-failures.md", "docs/how-to/s3.md"),
    *("docs/how-to/many-specs.md", "docs/how-to/report.md", "docs/how-to/notebooks.md"),
]
"""The pages whose blocks are run, each in a fresh folder."""
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.fixture(autouse=True)
def _bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The s3 page talks to a server of the test's own."""
    if "s3.md" not in request.node.name:
        return
    endpoint = request.getfixturevalue("s3_endpoint")
    servers.use_s3(monkeypatch, endpoint)
    servers.make_bucket(endpoint, "my-bucket")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=() if page in FIRST_READ else pytest.mark.slow) for page in RUN]
)
def test_blocks_run(page: str, tmp_path: Path) -> None:
    assert Session(ROOT / page, tmp_path).run()


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).strip().replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_live(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}, which is not there"
        assert not anchor or anchor in headings(there), f"{page.name} links to {target}; it has {headings(there)}"


def test_every_page_is_linked_from_somewhere() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    }
    lonely = {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page not in linked}
    assert not {page for page in lonely if "decisions" not in page.parts and page.name != "index.md"}


def section(text: str, heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {heading!r}"
    return found[1]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_and_each_of_its_options_is_described(name: str) -> None:
    text = section((ROOT / "docs/reference/commands.md").read_text(), f"scythe {name}")
    group = typer.main.get_command(cli.app)
    command = group.get_command(None, name)  # type: ignore[attr-defined]  # a group's, which needs no context
    assert command is not None
    for parameter in command.params:
        for option in [*parameter.opts, *parameter.secondary_opts]:
            shown = option if option.startswith("-") else str(parameter.metavar).strip("[]").partition(" ")[0]
            assert f"`{shown}" in text, f"scythe {name} has {shown}"
    described = set(re.findall(r"`(--[\w-]+)", text))
    known = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    assert described <= known | {"--help"}, f"scythe {name} has no {described - known}"


def test_every_exit_code_is_described() -> None:
    text = section((ROOT / "docs/reference/commands.md").read_text(), "Exit codes")
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == [str(int(code)) for code in sorted(ExitCode)]


def settings() -> list[tuple[str, FieldInfo]]:
    """Every key of experiment.yml with its field."""
    fields = [(name, info) for name, info in ExperimentFile.model_fields.items() if name not in SECTIONS]
    for name, model in SECTIONS.items():
        fields += [(f"{name}.{key}", info) for key, info in model.model_fields.items()]
    return fields


def test_every_key_of_the_experiment_file_is_described() -> None:
    page = (ROOT / "docs/reference/experiment-yml.md").read_text()
    rows = [f"| `{key}` | {info.description} |" for key, info in settings()]
    missing = [row for row in rows if row not in page]
    assert not missing, "these rows belong into the page:\n" + "\n".join(missing)
    assert {key for key, _ in settings()} == set(config.settings())
    assert set(re.findall(r"^\| `([\w.]+)` \| [^|]+ \|$", page, re.MULTILINE)) == set(config.settings())


def test_the_experiment_file_shown_is_valid() -> None:
    page = ROOT / "docs/reference/experiment-yml.md"
    shown = [block.text for block in blocks(page) if block.kind == "yaml"]
    assert shown
    file = config.parse(shown[0])
    names = {key: key.rpartition(".")[2] for key, _ in settings()}
    given = {key for key, name in names.items() if re.search(rf"(^|[ {{]){name}:", shown[0], re.MULTILINE)}
    assert given == set(config.settings())
    assert file.name == "building_energy"


def test_the_tree_of_packages_is_complete() -> None:
    """CONTRIBUTING has a line for each package."""
    text = section((ROOT / "CONTRIBUTING.md").read_text(), "The tree")
    packages = {path.parent.name for path in (ROOT / "scythe_cli").rglob("*/__init__.py")} - {"scythe_cli"}
    named = set(re.findall(r"^ +(\w+)/ +\S", text, re.MULTILINE)) - {"templates"}
    assert named == packages


@pytest.mark.parametrize("page", ["docs/design.md", "CONTRIBUTING.md"])
def test_tests_that_are_named_are_there(page: str) -> None:
    named = re.findall(r"`(tests/[\w/.*]+)`", (ROOT / page).read_text())
    assert named
    assert not [path for path in named if not list(ROOT.glob(path))]
