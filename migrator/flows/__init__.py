"""What happens, in order: one function is one story and owns its transactions."""
