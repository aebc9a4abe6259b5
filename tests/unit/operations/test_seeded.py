"""Generators that a module seeds when it is imported are found, and those that repeat no draws are not."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from scythe_cli.operations.seeded import seeded_at_import

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.experiment.experiment import Experiment


def told(folder: Path, module: str) -> str:
    file = folder / "model.py"
    file.write_text(module)
    return seeded_at_import(cast("Experiment", SimpleNamespace(sources={"model.py": file}))) or ""


@pytest.mark.parametrize(
    "module",
    [
        "import numpy as np\nRNG = np.random.default_rng(42)",
        "from numpy.random import default_rng as make\nRNG = make(seed=42)",
        "import numpy.random\nnumpy.random.seed(1)",
        "from numpy import random\nrandom.seed(1)",
        "import random\nrandom.seed(1)",
        "from random import Random\nRNG = Random(5)",
        "import numpy as np\nRNG = np.random.Generator(np.random.PCG64(3))",
        "SEED = 3; import numpy as np\nRNG = np.random.RandomState(SEED)",
        "import torch\ntorch.manual_seed(0)",
        "import numpy as np\ndef later(rng=np.random.default_rng(1)):\n    pass",
        "import numpy as np\ndef later(*, rng=np.random.default_rng(1)):\n    pass",
        "import numpy as np\nmake = lambda rng=np.random.default_rng(1): rng",
        "import numpy as np\n@wrapped(np.random.default_rng(1))\ndef later():\n    pass",
    ],
)
def test_a_seed_at_import_is_found_with_its_line(tmp_path: Path, module: str) -> None:
    assert told(tmp_path, module).startswith("model.py:2: random numbers are seeded when the module is imported")


def test_modules_that_must_not_be_imported_are_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert told(tmp_path, "import numpy as np") == ""


def test_one_in_a_class_is_found(tmp_path: Path) -> None:
    assert told(tmp_path, "import numpy as np\nclass A:\n    rng = np.random.default_rng(1)").startswith("model.py:3:")


@pytest.mark.parametrize(
    "module",
    [
        "import numpy as np\nDATA = np.random.default_rng(42).normal(size=5)",
        "import numpy as np\ndef later():\n    return np.random.default_rng(42)",
        "import numpy as np\nif __name__ == '__main__':\n    np.random.seed(1)",
        "import numpy as np\nRNG = np.random.default_rng()",
        "import numpy as np\nRNG = np.random.default_rng(None)",
        "import numpy as np\nRNG = np.random.default_rng(np.random.SeedSequence())",
        "import random\nRNG = random.SystemRandom(3)",
        "this is no Python",
    ],
)
def test_what_repeats_no_draws_is_not_told(tmp_path: Path, module: str) -> None:
    assert told(tmp_path, module) == ""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("model")
    module.__file__ = str(tmp_path / "model.py")
    monkeypatch.setitem(sys.modules, "model", module)
    return module


def test_one_that_a_function_has_seeded_is_found_by_its_name(tmp_path: Path, imported: ModuleType) -> None:
    vars(imported)["RNG"] = np.random.default_rng(3)
    assert told(tmp_path, "RNG = make()").startswith("model.py (RNG): ")


def test_one_that_a_function_has_made_without_a_seed_is_not(tmp_path: Path, imported: ModuleType) -> None:
    vars(imported)["RNG"] = np.random.default_rng()
    assert told(tmp_path, "RNG = make()") == ""


def test_many_are_counted(tmp_path: Path) -> None:
    many = "import random\n" + "\n".join(f"R{at} = random.Random({at})" for at in range(5))
    assert told(tmp_path, many).startswith("model.py:2, model.py:3, model.py:4 and 2 more: ")
