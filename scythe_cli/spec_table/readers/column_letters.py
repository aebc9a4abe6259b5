"""Columns of a sheet by their numbers and by the letters that Excel has for them.

Input: numbers, from 1. Output: "columns 5 to 7 (E to G)".
"""

from __future__ import annotations


def spell_columns(first: int, last: int) -> str:
    """ "column 5", "columns 5 to 7": as a person counts them, with the letters that Excel has."""
    letters = f" ({_letters(first)})" if first == last else f" ({_letters(first)} to {_letters(last)})"
    return (f"column {first}" if first == last else f"columns {first} to {last}") + letters


def _letters(number: int) -> str:
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
