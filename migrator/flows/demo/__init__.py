"""The demo shop: an old database full of real-life dirt and the empty new one. Data only; it decides nothing."""
