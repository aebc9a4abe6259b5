"""The shape of the code: lines of files and functions, positional parameters, one class a name."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import scythe_cli

ROOT = Path(scythe_cli.__file__).parent
MAX_FILE, MAX_FUNCTION, MAX_POSITIONAL = 400, 60, 6
FILES = sorted(ROOT.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: str) -> Iterator[tuple[Function, bool]]:
    """Every function of a module, and whether it is bound to an instance or a class."""
    for node in ast.walk(ast.parse(source)):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in child.decorator_list)
                yield child, isinstance(node, ast.ClassDef) and not static


def n_lines(function: Function) -> int:
    """From the first decorator to the last line."""
    first = min([function.lineno, *(one.lineno for one in function.decorator_list)])
    return (function.end_lineno or first) - first + 1


def n_positional(function: Function, *, bound: bool) -> int:
    return len(function.args.posonlyargs) + len(function.args.args) - bound


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_shape_of_a_file(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MAX_FILE
    found = list(functions(source))
    assert [(one.name, n_lines(one)) for one, _ in found if n_lines(one) > MAX_FUNCTION] == []
    many = [(one.name, n_positional(one, bound=bound)) for one, bound in found]
    assert [(name, n) for name, n in many if n > MAX_POSITIONAL] == []


def test_no_two_classes_have_one_name() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in FILES]
    names = Counter(one.name for tree in trees for one in tree.body if isinstance(one, ast.ClassDef))
    assert [name for name, n in names.items() if n > 1] == []


def test_lines_and_parameters_are_counted_as_written() -> None:
    source = "class A:\n    @property\n    def f(\n        self, a, /, b, *, c\n    ): return 1\ndef g(a, b): ...\n"
    (f, bound), (g, free) = sorted(functions(source), key=lambda one: one[0].name)
    assert (n_lines(f), n_lines(g)) == (4, 1)
    assert (n_positional(f, bound=bound), n_positional(g, bound=free)) == (2, 2)
