"""Real parts, started for a test and gone after it."""
