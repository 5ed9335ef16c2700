"""Who may do what, and what was done: operators, rights, approvals, the journal for who checks it."""
