"""A first mapping set, proposed from two schemas and a look at the legacy rows. Every guess is for a person to check."""
