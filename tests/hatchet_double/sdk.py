"""Imports hatchet_sdk once, before anything else does, without the deprecation warnings of its own imports."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import hatchet_sdk

__all__ = ["hatchet_sdk"]
