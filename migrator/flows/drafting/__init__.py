"""What engineers do with mappings before anything moves: look, draft, lint, preview, compare, explain."""
