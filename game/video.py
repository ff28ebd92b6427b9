"""What game.media.video was called before; checks from outside the repository use this name."""

from game.media.video import Video

__all__ = ["Video"]
