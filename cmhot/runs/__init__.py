"""What is a run directory: its plan, its format, the delays read out of it."""
