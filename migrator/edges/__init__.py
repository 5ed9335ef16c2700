"""Other people's systems: thin adapters, no rules."""
