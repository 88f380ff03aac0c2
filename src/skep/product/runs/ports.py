"""Where runs are kept, and what executes them."""

from collections.abc import Collection
from typing import Protocol, runtime_checkable

from skep.kernel.database import Tx
from skep.kernel.paging import Page, PageQuery
from skep.product.blobs.model import Released
from skep.product.runs.model import Artifact, Attempt, AttemptId, Question, QuestionId, Run, RunEvent, RunId
from skep.product.sandboxes.ports import Based, Doors, Driver, Files, Holding, Output
from skep.product.work.model import Lease, NewWork


class RunStore(Protocol):
    """Rows of runs, attempts, events, artifacts."""

    def insert(self, tx: Tx, run: Run) -> None:
        """Add a run."""
        ...

    def save(self, tx: Tx, run: Run) -> None:
        """Replace the run's row."""
        ...

    def get(self, tx: Tx, run_id: RunId) -> Run | None:
        """Return the run of this id."""
        ...

    def all(
        self, tx: Tx, project_id: str, agent_id: str | None, query: PageQuery, *, owner: str | None = None
    ) -> Page[Run]:
        """List runs of a project, of one agent or of one owner's agents, newest first."""
        ...

    def awaiting_version(self, tx: Tx, agent_id: str) -> list[Run]:
        """List the queued runs of an agent that have no version yet."""
        ...

    def count_unfinished(self, tx: Tx, project_id: str) -> int:
        """Return how many runs of the project are not final."""
        ...

    def insert_attempt(self, tx: Tx, attempt: Attempt) -> None:
        """Add an attempt."""
        ...

    def save_attempt(self, tx: Tx, attempt: Attempt) -> None:
        """Replace the attempt's row."""
        ...

    def attempts(self, tx: Tx, run_id: RunId) -> list[Attempt]:
        """List a run's attempts, first to last."""
        ...

    def attempt(self, tx: Tx, attempt_id: AttemptId) -> Attempt | None:
        """Return the attempt of this id."""
        ...

    def append_event(self, tx: Tx, run_id: RunId, at_ms: int, type_: str, data: dict[str, object]) -> RunEvent:
        """Add an event with the next `seq`."""
        ...

    def events(self, tx: Tx, run_id: RunId, *, after: int = 0, limit: int = 500) -> list[RunEvent]:
        """List events with `seq` > *after*, in order."""
        ...

    def put_artifacts(self, tx: Tx, run_id: RunId, artifacts: list[Artifact]) -> None:
        """Set the run's artifacts."""
        ...

    def artifacts(self, tx: Tx, run_id: RunId) -> list[Artifact]:
        """List the run's artifacts by path."""
        ...

    def prune(self, tx: Tx, *, before_ms: int, limit: int) -> Released:
        """Delete runs that ended before *before_ms*, oldest first, at most *limit*, with all that belongs to them."""
        ...

    def named(self, tx: Tx, files: Collection[str]) -> set[str]:
        """Return those of the logs and blobs *files* that an attempt or an artifact names."""
        ...


class QuestionStore(Protocol):
    """Rows of questions; they go with their run (`RunStore.prune`)."""

    def insert(self, tx: Tx, question: Question) -> None:
        """Add a question; its key is the only one of its run."""
        ...

    def save(self, tx: Tx, question: Question) -> None:
        """Replace the question's row."""
        ...

    def get(self, tx: Tx, question_id: QuestionId) -> Question | None:
        """Return the question of this id."""
        ...

    def by_key(self, tx: Tx, run_id: RunId, key: str) -> Question | None:
        """Return the run's question of this key."""
        ...

    def of_run(self, tx: Tx, run_id: RunId) -> list[Question]:
        """List a run's questions, oldest first."""
        ...

    def unanswered(self, tx: Tx, run_ids: Collection[RunId]) -> list[Question]:
        """List the questions of some runs that have no answer, also those that have expired, oldest first."""
        ...


class Executor(Protocol):
    """Executes the runs of one kind of agent; registered per kind by `assembly`."""

    async def execute(self, run: Run, lease: Lease) -> None:
        """Bring *run* to its end, from wherever the last attempt stopped."""
        ...

    async def cancel(self, run: Run) -> None:
        """End what the run is doing, soon."""
        ...


@runtime_checkable
class Abandons(Protocol):
    """Extra of an executor: is told when its work on a run is given up, in the transaction that ends the run."""

    def abandon(self, tx: Tx, run: Run) -> None:
        """End the attempt that goes on, and see to it that its sandbox goes."""
        ...

    async def abandoned(self, run: Run) -> None:
        """Tell those who follow the run's logs that nothing more will come; called after the commit."""
        ...


class WorkQueue(Protocol):
    """What runs need of the work; `WorkService` is it."""

    def enqueue(self, tx: Tx, work: NewWork) -> None:
        """Add a piece of work and, after the commit, wake whoever does it."""
        ...

    def request_cancel(self, tx: Tx, kind: str, ref: str) -> bool:
        """Ask the holder to stop; True if somebody holds it. An item that only waits becomes done."""
        ...

    def rest(self, tx: Tx, lease: Lease) -> bool:
        """Give back the place of what *lease* holds until `WorkStore.go_on`; False if it has to keep it."""
        ...


class JobDriver(Driver, Output, Holding, Files, Doors, Based, Protocol):
    """A driver with the extras that a job needs."""
