"""A made-up population: honest people with awkward lives, attackers of many kinds; the same seed, the same events."""
