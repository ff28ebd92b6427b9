"""The window drawn by a GPU: it enlarges the picture, and is sent what lies over it where that has changed.

Needs moderngl (`pip install 'neural-world[gpu]'`) and a driver that is no program; elsewhere the window is drawn by the
CPU, see game/ui/window.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pygame

from game.errors import RunError
from game.media.palette import INK

_BY_PROGRAM = ("llvmpipe", "softpipe", "swrast", "software", "swiftshader", "gdi generic", "basic render")
_VERTICES = """
#version 330
uniform vec4 place;  // left, top, right, bottom, of the window from 0 to 1
uniform vec4 part;   // the same of the texture
out vec2 at;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    vec2 where = mix(place.xy, place.zw, corner);
    at = mix(part.xy, part.zw, corner);
    gl_Position = vec4(where.x * 2.0 - 1.0, 1.0 - where.y * 2.0, 0.0, 1.0);
}
"""
_PICTURE = """
#version 330
uniform sampler2D image;
uniform vec4 shade;
in vec2 at;
out vec4 colour;
void main() { colour = vec4(mix(texture(image, at).rgb, shade.rgb, shade.a), 1.0); }
"""
_WORDS = """
#version 330
uniform sampler2D image;
in vec2 at;
out vec4 colour;
void main() { vec4 c = texture(image, at); colour = vec4(c.rgb, c.a); }
"""

Area = tuple[float, float, float, float]


def set_attributes() -> None:
    """What kind of context the display is to have; before it is opened."""
    for name, value in (
        (pygame.GL_CONTEXT_MAJOR_VERSION, 3),
        (pygame.GL_CONTEXT_MINOR_VERSION, 3),
        (pygame.GL_CONTEXT_PROFILE_MASK, pygame.GL_CONTEXT_PROFILE_CORE),
    ):
        pygame.display.gl_set_attribute(name, value)


class Gpu:
    """Draws on the display's OpenGL context. Raises RunError, in words, where that is not worth it or cannot be.

    name: of the GPU. words: the surface to draw everything on that lies over the picture; transparent at first.
    """

    def __init__(self, size: tuple[int, int], *, even_by_program: bool = False) -> None:
        """size: of the window. even_by_program: also where the driver computes all of it on the CPU; for tests."""
        try:
            import moderngl
        except ImportError as error:
            raise RunError("moderngl is not installed") from error
        try:
            self._context: Any = moderngl.create_context()
        except Exception as error:  # moderngl raises Exception itself
            raise RunError(f"OpenGL 3.3 cannot be used here ({error})") from error
        self.name = str(self._context.info["GL_RENDERER"])
        if not even_by_program and any(word in self.name.lower() for word in _BY_PROGRAM):
            raise RunError(f"OpenGL is computed by the CPU here ({self.name})")
        self._linear, self._nearest = (moderngl.LINEAR, moderngl.LINEAR), (moderngl.NEAREST, moderngl.NEAREST)
        self._blend, self._strip = moderngl.BLEND, moderngl.TRIANGLE_STRIP
        self._picture_program: Any = self._context.program(vertex_shader=_VERTICES, fragment_shader=_PICTURE)
        self._words_program: Any = self._context.program(vertex_shader=_VERTICES, fragment_shader=_WORDS)
        self._arrays = [self._context.vertex_array(p, []) for p in (self._picture_program, self._words_program)]
        self._picture: Any = None
        self._place: Area = (0.0, 0.0, 1.0, 1.0)
        self._part: Area = (0.0, 0.0, 1.0, 1.0)
        self._shade, self._edge = 0.0, INK
        self._words: Any = None
        self.words = pygame.Surface((1, 1), pygame.SRCALPHA)
        self.resize(size)

    def resize(self, size: tuple[int, int]) -> None:
        """The window has another size: a new, transparent surface for words."""
        self.words = pygame.Surface(size, pygame.SRCALPHA)
        if self._words is not None:
            self._words.release()
        self._words = self._context.texture(size, 4, data=b"\0" * (4 * size[0] * size[1]))
        self._words.filter = self._nearest
        self._context.viewport = (0, 0, *size)

    def show(
        self,
        pixels: bytes | None,
        size: tuple[int, int],
        place: pygame.Rect,
        part: pygame.Rect,
        *,
        smooth: bool,
        shade: int,
        edge: tuple[int, int, int],
    ) -> None:
        """The picture from now on. pixels: RGB rows, or None. place: in the window. part: of it. shade: of 255."""
        self._shade, self._edge = shade / 255.0, edge
        if self._picture is not None:
            self._picture.release()
            self._picture = None
        if pixels is None:
            return
        self._picture = self._context.texture(size, 3, data=pixels, alignment=1)
        self._picture.filter = self._linear if smooth else self._nearest
        self._picture.repeat_x = self._picture.repeat_y = False
        self._place, self._part = _shares(place, self.words.get_size()), _shares(part, size)

    def present(self, areas: Sequence[pygame.Rect] | None) -> None:
        """Puts it all on the window. areas: where the words have changed; None for everywhere."""
        whole = self.words.get_rect()
        for area in [whole] if areas is None else areas:
            area = area.clip(whole)
            if area.width and area.height:
                data = pygame.image.tobytes(self.words.subsurface(area), "RGBA")
                self._words.write(data, viewport=tuple(area), alignment=1)
        self._context.clear(*(value / 255.0 for value in self._edge))
        if self._picture is not None:
            self._context.disable(self._blend)
            self._picture.use(0)
            self._picture_program["place"].value, self._picture_program["part"].value = self._place, self._part
            self._picture_program["shade"].value = (*(value / 255.0 for value in INK), self._shade)
            self._arrays[0].render(self._strip, vertices=4)
        self._context.enable(self._blend)
        self._words.use(0)
        self._words_program["place"].value = self._words_program["part"].value = (0.0, 0.0, 1.0, 1.0)
        self._arrays[1].render(self._strip, vertices=4)
        pygame.display.flip()

    def read(self) -> bytes:
        """What is on the window, RGB rows from the top down; for tests."""
        width, height = self.words.get_size()
        rows = self._context.screen.read(components=3, alignment=1)
        return b"".join(rows[3 * width * y : 3 * width * (y + 1)] for y in reversed(range(height)))


def _shares(area: pygame.Rect, size: tuple[int, int]) -> Area:
    return area.left / size[0], area.top / size[1], area.right / size[0], area.bottom / size[1]
