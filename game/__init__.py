"""The client: knows people (window, keys, time, files) and drives the engine's rollouts for them."""

VERSION = "0.1.0"
