"""The parts of the reference that are made from the code.

Input: the commands, the model of experiment.yml. Output: the lines of docs/reference between `<!-- made from: NAME -->`
and `<!-- end -->`; NAME is a command or a section of experiment.yml:

    python docs/_tools/reference.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import typer

from scythe_cli.cli import app as cli
from scythe_cli.experiment.settings import SECTIONS, ExperimentFile

if TYPE_CHECKING:
    from pydantic import BaseModel

REFERENCE = Path(__file__).parents[1] / "reference"
COMMANDS = REFERENCE / "commands.md"
SETTINGS = REFERENCE / "experiment-yml.md"
_MADE = re.compile(
    r"(?P<begin><!-- made from: (?P<name>[\w ]+) -->\n)(?:(?!<!-- made).)*?(?P<end>^<!-- end -->$)",
    re.MULTILINE | re.DOTALL,
)


def options(command: str) -> list[str]:
    """A row for each argument and option of a command: its spellings, what its help says."""
    group = typer.main.get_command(cli.app)
    found = group.get_command(None, command)  # type: ignore[attr-defined]  # a group's, which needs no context
    rows = []
    for parameter in found.params:
        flags = [*parameter.opts, *parameter.secondary_opts]
        metavar = (parameter.metavar or "").strip("[]")
        if not flags[0].startswith("-"):
            spelled = f"`{metavar or flags[0].upper()}`".replace("|", "\\|")
        else:
            spelled = ", ".join(f"`{flag}`" for flag in flags)
            spelled += f" `{metavar}`".replace("|", "\\|") if metavar else ""
        choices = get_args(parameter.type_descriptor.annotation) if metavar == "" else ()
        choices = tuple(one for one in choices if isinstance(one, str))
        spelled += f" `{'` or `'.join(choices)}`" if choices else ""
        rows.append(f"| {spelled} | {' '.join(parameter.help.split())} |")
    return ["| option | |", "|---|---|", *rows]


def settings(section: str) -> list[str]:
    """A row for each key of a section of experiment.yml, or of its top: the key, its description, its default."""
    model: type[BaseModel] = ExperimentFile if section == "experiment" else SECTIONS[section]
    prefix = "" if section == "experiment" else f"{section}."
    fields = [(name, field) for name, field in model.model_fields.items() if prefix or name not in SECTIONS]
    return ["| key | |", "|---|---|", *(f"| `{prefix}{name}` | {field.description} |" for name, field in fields)]


def text(page: Path) -> str:
    """A page as it should be."""
    rows = options if page == COMMANDS else settings

    def made(match: re.Match[str]) -> str:
        return "\n".join([match["begin"], *rows(match["name"]), "", match["end"]])

    found = page.read_text()
    if len(_MADE.findall(found)) != found.count("<!-- made from: "):
        raise ValueError(f"{page}: each `<!-- made from: NAME -->` needs an `<!-- end -->` after its table")
    return _MADE.sub(made, found)


if __name__ == "__main__":
    for each in (COMMANDS, SETTINGS):
        each.write_text(text(each))
