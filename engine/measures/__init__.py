"""Measures of what a world model shows: of pictures, of their motion, and of whole clips with the actions given.

Playing does not depend on anything here; training's own evaluation and the judge both do.
"""

__all__ = ["clip", "clips", "motion", "pictures", "statistics"]
