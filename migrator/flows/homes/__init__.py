"""Where users are served: cut over, moved on demand, thawed, settled."""
