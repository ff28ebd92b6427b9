"""What a model costs before it is run: memory, operations, kernels."""

__all__ = ["memory", "operations", "ranges"]
