"""What changes: frames in, frames out; pure."""
