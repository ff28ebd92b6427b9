"""Makes the embedded model from nothing, and measures it: `python -m engine.training`."""
