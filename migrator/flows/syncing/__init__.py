"""What changes in legacy while users move: found, brought over again, reckoned with."""
