"""Commands are short: options are declared in one place, and each command's file has its function."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import scythe_cli
from scythe_cli.cli import app

COMMANDS = Path(scythe_cli.__file__).parent / "cli" / "commands"


@pytest.mark.parametrize("name", app.COMMANDS)
def test_a_command_is_a_function_of_its_file(name: str) -> None:
    assert callable(getattr(import_module(f"scythe_cli.cli.commands.{name}"), name))


@pytest.mark.parametrize("path", sorted(COMMANDS.glob("*.py")), ids=lambda path: path.stem)
def test_no_function_of_a_command_is_above_sixty_lines(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert [one.name for one in functions if one.end_lineno and one.end_lineno - one.lineno >= 60] == []


@pytest.mark.parametrize("path", sorted(COMMANDS.glob("*.py")), ids=lambda path: path.stem)
def test_options_are_declared_in_one_place(path: Path) -> None:
    assert "typer.Option(" not in path.read_text()
    assert "typer.Argument(" not in path.read_text()
