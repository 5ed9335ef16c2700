"""One batch, from claim to record: read, mapped, kept, written, read back."""
