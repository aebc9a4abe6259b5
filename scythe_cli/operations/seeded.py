"""Finds random generators that the user's modules seed when they are imported.

Input: an experiment. Output: one sentence that names them, or None. Each worker process begins such a generator's
numbers again, so specs repeat draws, and which ones depends on which worker runs them.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scythe_cli.experiment.experiment import Experiment

_SEEDS = frozenset({"random.seed", "numpy.random.seed", "torch.manual_seed", "tensorflow.random.set_seed"})
"""What seeds a generator that the whole process shares."""
_BITS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64", "SeedSequence")
_MAKERS = frozenset({"random.Random", *(f"numpy.random.{name}" for name in ("default_rng", "RandomState", *_BITS))})
"""What makes a generator from a seed."""
_RANDOM_BITS = 96
"""An entropy of more bits than this comes from the system, where nobody typed it."""
SHOWN = 3


def seeded_at_import(experiment: Experiment) -> str | None:
    """The sentence about the generators that an experiment's modules seed, None where there is none."""
    places: list[str] = []
    for name, file in experiment.sources.items():
        found = [f"{name}:{line}" for line in _seeding_lines(file)]
        places += found or [f"{name} ({variable})" for variable in _seeded_variables(file)]
    if not places:
        return None
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return (
        f"{', '.join(places[:SHOWN])}{more}: random numbers are seeded when the module is imported, so each worker "
        "draws the same ones again; write rng = input_spec.rng() in the function instead"
    )


def _seeding_lines(file: Path) -> list[int]:
    """The lines that seed a generator outside of any function."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return []
    names = dict(_imported_names(tree))
    return sorted({call.lineno for call in _calls_at_import(tree, kept=True) if _seeds(call, names)})


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What the names that a module imports stand for, dotted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _calls_at_import(node: ast.AST, *, kept: bool) -> Iterator[ast.Call]:
    """The calls that run when a module is imported, but those whose value is only used to call a method of it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        for value in _run_when_defined(node):
            yield from _calls_at_import(value, kept=kept)
        return
    if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
        return
    if isinstance(node, ast.Call) and kept:
        yield node
    for child in ast.iter_child_nodes(node):
        used_up = isinstance(node, ast.Attribute) and isinstance(child, ast.Call)
        yield from _calls_at_import(child, kept=not used_up)


def _run_when_defined(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[ast.expr]:
    """The decorators and the defaults of a function."""
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return [*decorators, *node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]


def _seeds(call: ast.Call, names: dict[str, str]) -> bool:
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if not given or all(isinstance(value, ast.Constant) and value.value is None for value in given):
        return False
    first, _, rest = ast.unparse(call.func).partition(".")
    dotted = f"{names.get(first, first)}.{rest}".rstrip(".")
    if dotted in {"numpy.random.Generator", "random.SystemRandom"}:
        return False  # what it is made of is looked at by itself
    return dotted in _SEEDS or (dotted in _MAKERS and not _is_made_unseeded(given))


def _is_made_unseeded(given: list[ast.expr]) -> bool:
    """Whether the argument is itself made without a seed: `default_rng(SeedSequence())`."""
    return len(given) == 1 and isinstance(given[0], ast.Call) and not given[0].args and not given[0].keywords


def _seeded_variables(file: Path) -> list[str]:
    """The variables of an imported module that hold a seeded generator of numpy, however it was made."""
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is None:
        return []
    modules = [module for module in list(sys.modules.values()) if _file_of(module) == str(file)]
    held = [item for module in modules for item in vars(module).items()]
    return sorted({name for name, value in held if _is_seeded(value, numpy_random)})


def _file_of(module: Any) -> str | None:
    file = getattr(module, "__dict__", {}).get("__file__")  # None stands for a module that must not be imported
    return file if isinstance(file, str) else None


def _is_seeded(value: object, numpy_random: Any) -> bool:
    if isinstance(value, numpy_random.Generator):
        bits: Any = value.bit_generator
    elif isinstance(value, numpy_random.RandomState):
        bits = value._bit_generator
    else:
        return False
    sequence = bits.seed_seq
    entropy = getattr(sequence, "entropy", None)
    return sequence is None or (isinstance(entropy, int) and entropy.bit_length() < _RANDOM_BITS)
