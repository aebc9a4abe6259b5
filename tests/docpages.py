"""Pages of documentation as something to run: their blocks of commands, Python and files, in order.

A block `console` is a session: lines after `$ ` are commands, the others what they print, loosely compared. A block
`python` is a script. A block with `title="name"` is a file that the page's folder has from then on. A comment
`<!-- not run: why -->` before a block keeps it from being run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
_FENCE = re.compile(
    r"(?P<note><!-- not run: .+? -->\n+)?^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_LOOSE = (  # what a run prints and a page cannot know; in this order
    (r"\d{4}\\-\d\d\\-\d\d_\d\d\\-\d\d\\-\d\d", r"\\d{4}-\\d\\d-\\d\\d_\\d\\d-\\d\\d-\\d\\d"),
    (r"\d+(?:\\\.\d+)?\\ (ms|s|min|kB|MB)\b", r"[\\d.,]+\\ (?:ms|s|min|bytes|kB|MB)"),
    (r"\d+(?:\\\.\d+)?/s\b", r"[\\d.,]+/(?:s|min)"),
    (r"\\\.\\\.\\\.", r".*"),
    (r"(\\ )+", r"\\s+"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is, its line in the page."""

    kind: str
    title: str | None
    text: str
    line: int
    runs: bool


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("kind")) + 1
        found.append(Block(match["kind"], match["title"], match["text"], line, runs=not match["note"]))
    return found


class Session:
    """Runs a page's blocks, one after the other, in one folder."""

    def __init__(self, page: Path, folder: Path) -> None:
        self._page = page
        self._cwd = folder
        self._env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}

    def run(self) -> int:
        """Run what can be run; tell how many blocks that was."""
        runs = [block for block in blocks(self._page) if block.runs]
        for block in runs:
            if block.title is not None:
                path = self._cwd / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)
            elif block.kind == "console":
                self._console(block)
            elif block.kind == "python":
                self._python(block)
        return len(runs)

    def _place(self, block: Block) -> str:
        return f"{self._page.relative_to(ROOT)}:{block.line}"

    def _python(self, block: Block) -> None:
        done = self._call([sys.executable, "-c", block.text])
        assert done.returncode == 0, f"{self._place(block)}\n{block.text}\n{done.stdout}"

    def _console(self, block: Block) -> None:
        for command, expected in _steps(block.text):
            done = self._call(["bash", "-c", f"{command}\ncode=$?; pwd > {self._where}; exit $code"])
            self._cwd = Path(self._where.read_text().strip())
            place = f"{self._place(block)}\n$ {command}\n{done.stdout}"
            assert done.returncode == 0 or "; echo" in command, f"{place}exit code {done.returncode}"
            left = done.stdout
            for line in expected:
                found = re.search(f"^{_loosely(line)}\\s*$", left, re.MULTILINE)
                assert found, f"{place}--- this line of the page is not there, or not in its place:\n{line}"
                left = left[found.end() :]

    @property
    def _where(self) -> Path:
        return Path(os.environ["HOME"]) / "cwd"

    def _call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=100,
        )


def _steps(text: str) -> list[tuple[str, list[str]]]:
    steps: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:].partition("    #")[0], []))
        elif line.strip():
            steps[-1][1].append(line)
    return steps


def _loosely(line: str) -> str:
    pattern = re.escape(line.rstrip())
    for strict, loose in _LOOSE:
        pattern = re.sub(strict, loose, pattern)
    return pattern
