"""Does something when a module is imported, by any code.

Input: the module's name and what to do, once. A hook stays in `sys.meta_path`: another thread may be at that list.
"""

from __future__ import annotations

import importlib.util
from contextlib import nullcontext
from threading import local
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
        self._is_over = False
        self._here = local()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - Python's protocol
        """Python's own spec of the module, with what is to be done. Who only looks for it need not import it."""
        if name != self._name or self._is_over or getattr(self._here, "looks", False):
            return None
        self._here.looks = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._here.looks = False
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with self._during():
                    run(module)
                self._is_over = True
                self._after(module)

            loader.exec_module = exec_module
        return spec
