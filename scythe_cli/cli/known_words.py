"""What people type who know other tools: `ls`, `logs`, `retry`. Input: a word. Output: our command for it, or None."""

from __future__ import annotations

_LIST = "scythe status"
_LOGS = "scythe show RUN SORT_INDEX --log"
_REMOVE = "scythe remove RUN"
_RESUME = "scythe allocate --resume RUN"
_RUN = "scythe allocate"
_SHOW = "scythe show RUN"
_CHECK = "scythe allocate --dry-run"

OURS = {
    **dict.fromkeys(("run", "start", "submit", "launch", "exec", "execute"), _RUN),
    **dict.fromkeys(("ls", "list", "runs", "ps", "history", "queue"), _LIST),
    **dict.fromkeys(("log", "logs", "tail"), _LOGS),
    **dict.fromkeys(("retry", "rerun", "resume", "continue", "restart"), _RESUME),
    **dict.fromkeys(("validate", "check", "lint", "verify", "plan", "dry-run"), _CHECK),
    **dict.fromkeys(("rm", "delete", "del", "clean", "prune", "purge"), _REMOVE),
    **dict.fromkeys(("info", "inspect", "describe", "cat", "head"), _SHOW),
    **dict.fromkeys(("watch", "top", "progress", "monitor"), "scythe status RUN --watch"),
    **dict.fromkeys(("errors", "failures", "failed"), "scythe status RUN --errors"),
    **dict.fromkeys(("kill", "stop", "abort"), "scythe cancel RUN"),
    **dict.fromkeys(("get", "fetch", "pull", "export", "results"), "scythe download RUN"),
    **dict.fromkeys(("new", "create"), "scythe init DIR"),
    **dict.fromkeys(("diff",), "scythe compare RUN RUN"),
    **dict.fromkeys(("estimate", "test", "try"), "scythe allocate --probe 5"),
    **dict.fromkeys(("collect", "merge"), "scythe gather RUN"),
    **dict.fromkeys(("version",), "scythe --version"),
    **dict.fromkeys(("help",), "scythe --help"),
}
"""A word of other tools -> the command of ours that does it."""


def our_command(word: str) -> str | None:
    """The command that does what a word of other tools means."""
    return OURS.get(word.lower())
