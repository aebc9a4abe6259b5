"""Does something when a module is imported, whoever imports it.

Input: the module's name and what to do. A hook is for one import: it removes itself.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class ImportHook:
    """A finder for `sys.meta_path`.

    Args:
        name: the module.
        during: a context for its import.
        after: called with the module when it is imported.
    """

    def __init__(
        self,
        name: str,
        *,
        during: Callable[[], AbstractContextManager[None]] = nullcontext,
        after: Callable[[ModuleType], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._during = during
        self._after = after

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - Python's protocol
        """Python's own spec of the module, with what is to be done."""
        if name != self._name:
            return None
        at = sys.meta_path.index(self)
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(at, self)  # who looks for it, as polars does, need not import it
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                with self._during():
                    run(module)
                self._after(module)

            loader.exec_module = exec_module
        return spec
