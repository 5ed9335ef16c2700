"""What people see and decide: the whole on one screen, one user, review cases."""
