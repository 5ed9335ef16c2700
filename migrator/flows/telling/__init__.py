"""Users told in time: templates, notices, delivery."""
