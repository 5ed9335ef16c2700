"""Which hosts are this machine: what goes to others can be read on the way, unless it is sealed."""

from __future__ import annotations

from ipaddress import ip_address

import sqlalchemy as sa


def is_local(host: str) -> bool:
    """Whether a host is this machine; a leading minus says that it may be missing."""
    try:
        return ip_address(host.lstrip("-").strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def leaves_this_machine(url: sa.URL) -> bool:
    """Whether what goes to the database under *url*, or to one of several hosts in it, leaves this machine."""
    said = url.query.get("host", ())
    named = [url.host or "", *((said,) if isinstance(said, str) else said)]
    hosts = [host.partition(":")[0] if host.count(":") == 1 else host for one in named for host in one.split(",")]
    if url.query.get("unix_socket"):
        return False
    return any(host and not host.startswith(("/", "@")) and not is_local(host) for host in hosts)
