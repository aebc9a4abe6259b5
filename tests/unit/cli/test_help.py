"""What `--help` and hints say: sentences, one word for one thing, nothing that only a clone of the repository has."""

import ast
from pathlib import Path

import pytest
import typer

import scythe_cli
from scythe_cli.cli import app, output

PACKAGE = Path(scythe_cli.__file__).parent
MODULES = [path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts]


def command(name: str) -> typer.core.TyperCommand:
    group = typer.main.get_command(app.app)
    found = group.get_command(None, name)  # type: ignore[attr-defined]  # a group's, which needs no context
    assert isinstance(found, typer.core.TyperCommand)
    return found


@pytest.mark.parametrize("name", app.COMMANDS)
def test_each_option_is_explained_in_sentences(name: str) -> None:
    helps = {parameter.name: str(getattr(parameter, "help", "")) for parameter in command(name).params}
    assert {option: text for option, text in helps.items() if not text.endswith(".")} == {}


@pytest.mark.parametrize("name", app.COMMANDS)
def test_the_processes_of_a_run_are_called_workers(name: str) -> None:
    texts = [str(command(name).help), *(str(getattr(one, "help", "")) for one in command(name).params)]
    assert [text for text in texts if "lane" in text.replace("Hatchet", "").split()] == []


def test_status_says_once_what_happens_without_run() -> None:
    (run,) = [one for one in command("status").params if one.name == "run"]
    assert "Without RUN, list the latest runs." in str(command("status").help)
    assert "Default: list the latest runs" in str(getattr(run, "help", ""))


def test_each_state_has_words_for_people() -> None:
    assert output.STATES["gathered"] == "finished"
    assert output.STATES["incomplete"] == "stopped before the end"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_message_names_a_file_of_the_repository(path: Path) -> None:
    """Who installed with pip has no docs/, no Makefile and no CONTRIBUTING.md. Docstrings may name them."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    names = ("docs/", "Makefile", "CONTRIBUTING", "make ")
    assert [text for text in texts if isinstance(text, str) and text.strip().startswith(names)] == []
    assert [text for text in texts if isinstance(text, str) and " docs/" in text] == []
