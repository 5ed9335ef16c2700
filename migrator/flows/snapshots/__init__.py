"""What is kept for the way back: how long, whether it would serve, under which key."""
