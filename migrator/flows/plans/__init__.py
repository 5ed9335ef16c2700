"""Who moves when: users counted, grouped and ranked; the plan made and approved."""
