"""Messages in: one task opens the project and calls one flow. Integers in, nothing out."""
