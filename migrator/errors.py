"""Every error raised on purpose, with its words and its exit code. What happened, to which, what to do now."""

from __future__ import annotations


class MigratorError(Exception):
    """Base of all. `str()` is one sentence for the next person; every argument goes to `super()` so that it pickles."""

    exit_code = 1


class WrongInput(MigratorError):
    """Usage, settings, a mapping or a template is wrong. Nothing was touched."""

    exit_code = 2


class SettingWrong(WrongInput):
    """One or more settings are missing or not understood; all of them at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class MappingInvalid(WrongInput):
    """A mapping folder has errors; `report` is the text of mapping.md 6.8, every mistake in it."""

    def __init__(self, report: str, count: int) -> None:
        super().__init__(report, count)
        self.report, self.count = report, count

    def __str__(self) -> str:
        noun = "error" if self.count == 1 else "errors"
        return f"{self.report}\n{self.count} {noun} in the mappings; nothing was touched"


class NotAllowed(MigratorError):
    """The thing is in a status that does not permit this event."""

    def __init__(self, noun: str, ref: str, status: str, event: str, allowed: tuple[str, ...]) -> None:
        super().__init__(noun, ref, status, event, allowed)
        self.noun, self.ref, self.status, self.event, self.allowed = noun, ref, status, event, allowed

    def __str__(self) -> str:
        can = ", ".join(self.allowed) or "nothing; it is final"
        return f"cannot {self.event} {self.noun} {self.ref}: it is {self.status}. Possible now: {can}."


class Overtaken(MigratorError):
    """Somebody else changed the thing between our look and our write. Look again."""


class NotFound(MigratorError):
    """There is no such thing."""


class Refused(MigratorError):
    """The act is understood and not done: the sentence says why and what to do."""


class Busy(Refused):
    """Somebody else has these users for some seconds; the same thing is done after that."""


class NotPermitted(Refused):
    """Whoever asks may not do this, or nobody may now: the sentence says who may, or when."""


class NeedsApproval(Refused):
    """A second person has to allow it first; the request is stored, and the sentence says how he does that."""


class GateHolds(MigratorError):
    """A gate decided HOLD or STOP."""

    exit_code = 3


class SchemaChanged(GateHolds):
    """A database is not what the plan was approved against; no wave starts before a person has looked (E801)."""


class Unreachable(MigratorError):
    """A database or Redis cannot be reached now; worth another attempt. Never carries a password."""


class DatabaseRefused(MigratorError):
    """
    A database said no to data: a constraint, a type, a length. Worth splitting, not repeating.

    Carries class, SQLSTATE or code, constraint and table; never the user's values.
    """

    def __init__(self, kind: str, code: str, constraint: str, table: str) -> None:
        super().__init__(kind, code, constraint, table)
        self.kind, self.code, self.constraint, self.table = kind, code, constraint, table

    def __str__(self) -> str:
        where = f" of {self.table}" if self.table else ""
        return f"the database refused the rows: {self.kind} {self.constraint}{where} ({self.code})"


class Transient(MigratorError):
    """A deadlock, a lock timeout, a serialisation failure, a full disk: the same thing may succeed later."""


class OverBudget(Transient):
    """Users were frozen for as long as may be, and it was not done; who served them before serves them again."""


class Fenced(MigratorError):
    """A newer lease of this batch exists; the work of this one is not wanted any more."""


class Mismatch(MigratorError):
    """What was read back is not what was meant; the transaction was rolled back."""


class Erased(MigratorError):
    """Users who were erased would be written again; nothing was written. `users` are their keys, which no message says."""

    def __init__(self, users: tuple[str, ...]) -> None:
        super().__init__(users)
        self.users = users

    def __str__(self) -> str:
        return f"{len(self.users)} users were erased and are not written again"


class Aborted(MigratorError):
    """A rule of a mapping says `on_error: abort`; the sentence names it."""


class InDoubt(MigratorError):
    """The connection was lost at COMMIT: only the ledger knows."""


class KeyWrong(MigratorError):
    """What is to be opened was sealed with another key or for another purpose, or was changed."""


class SnapshotDamaged(MigratorError):
    """A snapshot is missing, was changed, belongs to another batch, or was sealed with another key."""


class HomeUnknown(MigratorError):
    """Where a user is served cannot be told now: the control database does not answer, and nothing newer is known."""
