"""Users forgotten for good."""
