"""python -m migrator.companion: work beside the process that started it; see `edges.companions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrator.flows.parts import Parts


def main() -> None:
    """Open the project that the environment names, and do what is asked."""
    from migrator import runtime
    from migrator.edges import companions
    from migrator.flows import rollbacks, verify

    parts_of: dict[str, Callable[[Parts, Any], Any]] = {"verify": verify.part, "rollback": rollbacks.part}
    with runtime.connect() as rt:

        def carry_out(task: str, job: Any) -> Any:
            return parts_of[task](rt.parts, job)

        companions.serve(carry_out)


if __name__ == "__main__":
    main()
