"""python -m migrator.companion: work beside the process that started it; see `edges.companions`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrator.flows.parts import Parts


def main() -> None:
    """Open the project that the environment names, and do what is asked."""
    from migrator import runtime
    from migrator.edges import companions
    from migrator.flows.checking import verify
    from migrator.flows.syncing import bringing, capture
    from migrator.flows.undoing import rollbacks

    parts_of: dict[str, Callable[[Parts, Any], Any]] = {
        "verify": verify.part,
        "rollback": rollbacks.part,
        "scan": capture.scan_part,
        "sync": bringing.bring,
    }
    with runtime.connect() as rt:
        rt.speak_for(sys.argv[1])

        def carry_out(task: str, job: Any) -> Any:
            return parts_of[task](rt.parts, job)

        companions.serve(carry_out)


if __name__ == "__main__":
    main()
