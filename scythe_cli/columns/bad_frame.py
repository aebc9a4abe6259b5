"""The error of a frame that cannot become part of a final table.

Input: a sentence. Output: an exception that conversions raise and that fails the frame's spec.
"""

from __future__ import annotations


class BadFrame(ValueError):
    """A frame that cannot become a final table: its name, its type, its columns."""
