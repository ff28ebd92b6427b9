"""The networks, each as its source describes it: weights and arithmetic, no state."""
