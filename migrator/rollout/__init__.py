"""Who moves and when: statuses, tiers, waves, gates. Pure: numbers, ids, statuses and times in, values out."""
