"""Ways to hand a message to a user."""
