"""One world from one first frame: all its state, and how it goes on block by block."""

__all__ = ["causal", "condition", "embedded", "memory_condition", "pipeline", "rollout", "sampler", "waypoint"]
