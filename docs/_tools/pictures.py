"""The pictures of the site, made from real runs.

Input: the installed command, and Chromium where there is one. Output: SVG files in docs/images, one for each scene,
drawn by rich, and the report as a PNG:

    python docs/_tools/pictures.py
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).parents[1] / "images"
BIN = Path(sys.executable).parent
WIDTH = 96
FONTS = "Menlo, Consolas, DejaVu Sans Mono, monospace"
_FONT_FILES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_WRITTEN = re.compile(r"\n|\r|\x1b\[[0-9;?]*[A-Za-z]|[^\x1b\r\n]+|\x1b.")


@dataclass(frozen=True)
class Scene:
    """A picture: commands that are typed and shown, after commands that are not.

    Attributes:
        before: run first, not shown.
        typed: shown with their output.
    """

    name: str
    title: str
    typed: list[str]
    before: list[str]


_TEST = "if input_spec.r0 < 2 and input_spec.vaccinated > 0.5"
_RAISE = 'raise ValueError(f"no wave with r0 = {input_spec.r0}")'
_FAIL = rf"s/^def simulate_epidemic.*/&\n    {_TEST}:\n        {_RAISE}/"

SCENES = [
    Scene(
        "allocate",
        "24 specs of the tutorial",
        ["scythe allocate", "scythe status", "scythe download epidemic results"],
        [],
    ),
    Scene(
        "errors",
        "when specs fail",
        ["scythe allocate", "scythe status epidemic --errors"],
        [f"sed -i {shlex.quote(_FAIL)} epidemic.py"],
    ),
    Scene(
        "show",
        "one spec, and the slowest ones",
        ["scythe show epidemic 2", "scythe show epidemic --slowest 4"],
        [f"sed -i {shlex.quote(_FAIL)} epidemic.py", "scythe allocate"],
    ),
    Scene(
        "night",
        "without a terminal",
        ["scythe allocate --notify 'cat > done.json' > summary.txt 2> log.txt; cat log.txt", "head -6 done.json"],
        ["sed -i 's/^def simulate_epidemic.*/&\\n    __import__(\"time\").sleep(0.25)/' epidemic.py"],
    ),
    Scene(
        "remove",
        "runs that are not needed any more",
        [
            "scythe remove epidemic --yes",
            "scythe remove epidemic --keep-latest --yes",
        ],
        ["scythe allocate", "scythe allocate", "scythe allocate"],
    ),
    Scene(
        "wrong",
        "a table with mistakes",
        ["cat wrong.csv", "scythe allocate --set specs=wrong.csv"],
        ["printf 'r0,infectious_period,vaccinated\\n2,5,0.1\\n-1,5,0.1\\n2,5,1.5\\n' > wrong.csv"],
    ),
]


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_DESIGN = "specs: {design: sobol, n: 1024, space: {r0: [1, 15], infectious_period: [2, 20], vaccinated: [0, 0.9]}}"


def draw_report(program: str) -> None:
    """The top of a report in a browser: 1,024 specs of a design, some of which fail."""
    with TemporaryDirectory() as home:
        folder = Path(home) / "epidemic"
        at_terminal(f"scythe init {shlex.quote(str(folder))}", Path(home))
        at_terminal(f"sed -i {shlex.quote(_FAIL)} epidemic.py", folder)
        at_terminal(f"sed -i {shlex.quote(f's/^specs:.*/{_DESIGN}/')} experiment.yml", folder)
        at_terminal("scythe allocate; scythe report", folder)
        flags = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--enable-unsafe-swiftshader"]
        flags += [f"--user-data-dir={home}/profile", "--window-size=1040,2000", "--virtual-time-budget=20000"]
        picture = IMAGES / "report.png"
        page = (folder / "report.html").as_uri()
        subprocess.run([program, *flags, f"--screenshot={picture}", page], check=True, stderr=subprocess.DEVNULL)


def at_terminal(command: str, folder: Path) -> list[str]:
    """Run a command at a terminal of its own; the lines that are on its screen at the end, with their colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, WIDTH, 0, 0))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCYTHE_", "AWS_", "HATCHET_"))}
    env = kept | {"TERM": "xterm-256color", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(["bash", "-c", command], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        written += piece
    process.wait()
    os.close(ours)
    return screen(written.decode())


def screen(written: str) -> list[str]:
    """What is on a screen after all that was written; of cursor movements, those that rich uses."""
    rows, at = [""], 0
    for piece in _WRITTEN.findall(written):
        if piece == "\n":
            at += 1
            rows += [""] * (at + 1 - len(rows))
        elif piece in {"\r", "\x1b[2K"}:
            rows[at] = rows[at] if piece == "\r" else ""
        elif up := re.fullmatch(r"\x1b\[(\d+)A", piece):
            at -= int(up[1])
        elif piece.startswith("\x1b") and not piece.endswith("m"):
            continue
        else:
            rows[at] += piece
    while rows and not rows[-1].strip():
        rows.pop()
    return rows


def draw(scene: Scene) -> str:
    """The SVG of a scene."""
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115
    with TemporaryDirectory() as home:
        folder = Path(home) / "epidemic"
        for command in (f"scythe init {shlex.quote(str(folder))}", *scene.before):
            at_terminal(command, folder if folder.exists() else Path(home))
        for command in scene.typed:
            console.print(Text.assemble(("$ ", "bright_black"), (command, "bold")))
            for line in at_terminal(command, folder):
                console.print(Text.from_ansi(line.replace(f"{home}/", "~/")), soft_wrap=False)
    drawn = _FONT_FILES.sub("", console.export_svg(title=scene.title, unique_id=f"scythe-{scene.name}"))
    return re.sub(r"font-family: ?(Fira Code|arial)[^;]*;", f"font-family: {FONTS};", drawn)  # a page loads no fonts


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for one in SCENES:
        (IMAGES / f"{one.name}.svg").write_text(draw(one), encoding="utf-8")
        print(IMAGES / f"{one.name}.svg")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("no Chromium here: report.png stays as it is")
    else:
        draw_report(browser)
        print(IMAGES / "report.png")
