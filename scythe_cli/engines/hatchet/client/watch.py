"""What a Hatchet engine knows of a run that does not move: whether its root is at work, and why no spec starts.

Input: a client and a run. Output: a `Verdict` for the one who follows the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.follow import Verdict
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hatchet_sdk import Hatchet

    from scythe_cli.engines.generation.follow import Situation
    from scythe_cli.run.engine import Active
    from scythe_cli.run.run import Run

ANSWER_SECONDS = 4.5


class HatchetWatch:
    """Asks the engine; where it does not answer, the directory is all there is.

    Args:
        hatchet: the client.
        run: the run.
        active: asks what is at work.
        root: the engine's id of the run's root, where it is known.
    """

    def __init__(self, hatchet: Hatchet, run: Run, active: Callable[[], Active], root: str | None) -> None:
        self._hatchet = hatchet
        self._run = run
        self._active = active
        self._root = root

    def verdict(self, situation: Situation, *, held: bool) -> Verdict:
        """See `Watch`.

        Raises:
            EngineError: the root ended before its specs were done; the message says how.
        """
        try:
            active = self._active()
            ended = None if held or not situation.generation else self._how_the_root_ended(situation.generation)
        except EngineError as exc:
            return Verdict(None, f"{exc.message}; the progress comes from the run's directory")
        if ended is not None:
            raise EngineError(
                f"Hatchet ended the root task of {self._run.id} before all specs were finished: {ended}",
                hint=f"scythe allocate --resume {self._run.id}",
            )
        return Verdict(not active.abandoned, active.why)

    def _how_the_root_ended(self, generation: int) -> str | None:
        """Why the engine gave the root up, if it did: nobody would ever finish the run."""
        if self._root is None or self._root == self._run.manifest.root_workflow_run_id:
            return None
        details = self._details(self._root)
        if details is None or not details.done or fence.why_over(self._run.store, generation) is not None:
            return None
        errors = [task.error for task in details.task_runs.values() if task.error]
        return errors[0].strip().rpartition("\n")[2] if errors else "it was cancelled, or it failed without a message"

    def _details(self, root: str) -> Any:
        """What the engine says of the root; None where it knows none."""
        import grpc
        from hatchet_sdk.contracts.v1.workflows_pb2 import GetRunDetailsRequest
        from hatchet_sdk.utils.api_auth import create_authorization_header

        stub: Any = self._hatchet._client.admin._get_or_create_v1_client()
        header = create_authorization_header(self._hatchet.config.token)
        try:
            return stub.GetRunDetails(GetRunDetailsRequest(external_id=root), timeout=ANSWER_SECONDS, metadata=header)
        except grpc.RpcError as exc:
            if exc.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise EngineError(f"Hatchet at {self._hatchet.config.host_port} does not answer") from exc
