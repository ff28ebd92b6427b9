"""The engine: first frame, seed and actions in; blocks of video frames out. It knows tensors and no people."""
