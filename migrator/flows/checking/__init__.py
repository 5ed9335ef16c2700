"""What was meant against what is there."""
