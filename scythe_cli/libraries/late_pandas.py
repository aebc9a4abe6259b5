"""Keeps pyarrow from importing pandas in processes that do not use it: that takes longer than all else they import.

pyarrow looks for pandas when it makes its first array of Python values, and remembers what it found. Here it finds
nothing. When somebody imports pandas after all, pyarrow looks again, so that it treats pandas' objects as always.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import TYPE_CHECKING

from scythe_cli.libraries.import_hook import ImportHook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def defer_pandas() -> None:
    """From now on, pandas is imported only by who asks for it. Before any other thread is started."""
    if "pandas" in sys.modules:
        return
    if "pyarrow" in sys.modules:
        _hide_pandas(sys.modules["pyarrow"])
    else:
        sys.meta_path.insert(0, ImportHook("pyarrow", after=_hide_pandas))


def _hide_pandas(pyarrow: ModuleType) -> None:
    """Have pyarrow look for pandas now, and not find it; unless it is pandas that imports pyarrow."""
    if "pandas" in sys.modules or "_pandas_api" not in vars(importlib.import_module("pyarrow.lib")):
        return
    refusing = _Refusing()
    sys.meta_path.insert(0, refusing)
    try:
        vars(pyarrow)["array"]([0])
    finally:
        sys.meta_path.remove(refusing)
    sys.meta_path.insert(0, ImportHook("pandas", after=_show_pandas))


def _show_pandas(_: ModuleType) -> None:
    """Have pyarrow look again."""
    shim = vars(importlib.import_module("pyarrow.lib")).get("_pandas_api")
    with contextlib.suppress(ImportError):  # an old pandas, which pyarrow does not take: it works without
        shim.pd  # type: ignore[union-attr]  # noqa: B018 - the property looks


class _Refusing:
    """Refuses to import pandas."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004 - Python's protocol
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not imported before somebody uses it", name=name)
        return None
