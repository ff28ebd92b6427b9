"""One world from one first frame: all its state, and how it goes on block by block."""
