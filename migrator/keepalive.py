"""How soon a database server that is gone without a word is given up; by itself TCP takes two hours."""

from __future__ import annotations

from collections.abc import Container

#: As libpq names them; a minute.
_PATIENCE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3", "tcp_user_timeout": "60000"}


def keepalive(said: Container[str]) -> dict[str, str]:
    """What PostgreSQL is told on connecting, but for what its URL has *said* already."""
    return {name: value for name, value in _PATIENCE.items() if name not in said}
