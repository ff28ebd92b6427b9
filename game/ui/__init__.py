"""The window: the only package that imports pygame. It knows worlds through `game.live` alone."""
