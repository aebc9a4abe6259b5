"""What others wrote and we print: nothing of it acts on the terminal, and one function sees to that."""

from __future__ import annotations

import ast
import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hostile import HALF, Done, Storage

import scythe_cli
from scythe_cli.cli.progress import Terminal
from scythe_cli.core import events
from scythe_cli.core.printable import Printable

EVIL = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202eevil\rnext: rm -rf ~\nnext: rm -rf ~\x1b[0m"
CLI = Path(scythe_cli.__file__).parent / "cli"


def acts_on_terminal(text: str) -> list[str]:
    return [one for one in text if one != "\n" and unicodedata.category(one) in {"Cc", "Cf"}]


def assert_harmless(done: Done) -> None:
    assert acts_on_terminal(done.out) == []
    assert acts_on_terminal(done.err) == []
    assert not [line for line in (done.out + done.err).splitlines() if line.startswith("next: rm")]


@pytest.mark.parametrize("as_json", [False, True])
def test_who_cancelled(storage: Storage, as_json: bool) -> None:
    mark = storage.half / "control" / "cancel-2.yml"
    mark.write_text(json.dumps({"by": EVIL, "at": EVIL}))
    done = storage.scythe("status", HALF, "--storage", "storage", *["--json"] * as_json)
    assert_harmless(done)
    assert "evil" in done.out
    if as_json:
        assert "evil" in json.loads(done.out)["detail"]


def test_the_host_of_a_lease(storage: Storage) -> None:
    lease = max((storage.half / "control").glob("lease-*.yml"))
    note = {
        "host": EVIL,
        "boot_id": "x",
        "pid": 5,
        "started": 1.0,
        "written": datetime.now(UTC).isoformat(),
        "lasts": 30.0,
    }
    lease.write_text(json.dumps(note))
    for mark in (storage.half / "control").glob("ended-*"):
        mark.unlink()
    done = storage.scythe("status", HALF, "--storage", "storage")
    assert_harmless(done)
    assert "evil" in done.out + done.err


def test_why_a_run_ended(storage: Storage) -> None:
    note = {"ended": "2026-11-29T10:20:51+00:00", "reason": EVIL, "detail": EVIL}
    (storage.half / "control" / "ended-2.yml").write_text(json.dumps(note))
    done = storage.scythe("status", HALF, "--storage", "storage")
    assert_harmless(done)
    assert "evil" in done.out


@pytest.mark.parametrize("key", ["host", "place", "python", "entry_point"])
def test_the_manifest(storage: Storage, key: str) -> None:
    manifest = storage.half / "manifest.yml"
    lines = [line for line in manifest.read_text().splitlines() if not line.startswith(f"{key}:")]
    manifest.write_text("\n".join([*lines, f"{key}: {json.dumps(EVIL)}", ""]))
    for command in (["status", HALF, "--errors"], ["status"], ["allocate", "--resume", HALF], ["gather", HALF]):
        assert_harmless(storage.scythe(*command, "--storage", "storage"))


def test_names_of_files_in_errors(storage: Storage) -> None:
    (storage.folder / "x\x1b[31m.yml").write_text("experiment: \x1b[31m:x")
    assert_harmless(storage.scythe("allocate", "x\x1b[31m.yml"))


def test_events_of_a_queue(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal(events.WorkerReady(EVIL, EVIL, EVIL, [EVIL], 2, [EVIL]))
        terminal(events.LeafFinished(EVIL, 0, 1, 0, 1.0))
        terminal(events.Notice(EVIL))
    printed = capsys.readouterr()
    assert acts_on_terminal(printed.out + printed.err) == []


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("module", sorted(CLI.rglob("*.py")), ids=lambda path: path.relative_to(CLI).as_posix())
def test_only_one_function_prints(module: Path) -> None:
    """The type of what it takes says that it went through `printable`; this holds that nothing goes past it."""
    allowed = {"output.py": {"put"}, "progress.py": {"say"}, "schemas.py": {"main", "<module>"}}.get(module.name, set())
    found = []
    tree = ast.parse(module.read_text())
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name not in allowed:
            found += [ast.unparse(call.func) for call in calls(function)]
    direct = {"print", "typer.echo", "typer.secho", "self.console.print", "console.print", "sys.stderr.write"}
    assert [name for name in found if name in direct and module.name != "schemas.py"] == []


def test_a_printed_string_has_a_type_of_its_own() -> None:
    from typing import get_type_hints

    from scythe_cli.cli import output

    assert get_type_hints(output.put)["text"] is Printable
    assert Terminal.say.__annotations__["text"] == "Printable"
