"""Let people in: before any command does its work, one table says whether whoever is there may have it done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def guard(command: Any, path: str) -> None:
    """
    Ask before *command*, and before all verbs under it.

    Args:
        path: The words one types for it, as `rollout.rights` has them.
    """
    verbs = getattr(command, "commands", None)
    if verbs is None:
        # An instance is changed because Typer makes it: it has no place where one could name a class of commands.
        vars(command)["invoke"] = partial(_invoke, path, command.invoke)
        return
    for word, verb in verbs.items():
        guard(verb, f"{path} {word}")


def _invoke(path: str, invoke: Callable[[Any], Any], context: Any) -> Any:
    from migrator.rollout.rights import Permission, right_of

    if right_of(path).permission is Permission.FREE:
        return invoke(context)

    from migrator import runtime

    with runtime.admitted(path, changes=not context.params.get("dry_run", False)):
        return invoke(context)
