"""Users put back, exactly."""
