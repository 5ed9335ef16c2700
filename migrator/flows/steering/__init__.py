"""Waves over time: started, held, throttled, rung for; the whole plan carried out."""
