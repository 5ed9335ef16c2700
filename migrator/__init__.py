"""migrator: moves a product's users from a legacy schema to a new one, and back."""

__version__ = "0.1.0"
