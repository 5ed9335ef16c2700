"""Our own memory: the control database. Functions over a connection; nothing here commits."""
