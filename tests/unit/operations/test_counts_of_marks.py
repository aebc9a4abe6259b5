"""What the mark of a gather says of outputs, whoever wrote it."""

from __future__ import annotations

from scythe_cli.operations.output_counts import OutputCounts, as_note, from_note


def test_counts_come_back_from_the_note() -> None:
    counts = {"heat": OutputCounts(nan=2, constant=True), "cool": OutputCounts()}
    assert from_note({"outputs": as_note(counts)}, counts) == counts


def test_a_note_of_a_newer_version_and_a_broken_one_do_no_harm() -> None:
    outputs = {"heat": {"nan": 2, "infinite": 3}, "cool": 3, "load": {"nan": "many", "null": 1}}
    assert from_note({"outputs": outputs}, ["heat", "cool", "load"]) == {
        "heat": OutputCounts(nan=2),
        "cool": OutputCounts(),
        "load": OutputCounts(null=1),
    }
