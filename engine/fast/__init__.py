"""The large models at speed: what engine.nets.transformer and engine.nets.vae compute, in fixed shapes and few kernels.

Every optimisation lives here, apart from the readable model that it is tested against; they share one set of weights.
A *program* is a function of tensors alone whose shapes never change within a rollout: two for a pass of the transformer
(while the window fills, and from then on) and one for a latent frame's decoding. All a program remembers it writes in
place into tensors that the rollout owns, at addresses that stay. So it can be compiled whole, once, and be recorded as
a CUDA graph; see engine.fast.compiling.

One world at a time: there is no batch axis here. Axes are moved by views, not by einops, whose parser costs torch's
compiler more than all the rest.
"""

__all__ = ["compiling", "decoder", "embedded", "kernels", "taehv", "transformer", "waypoint"]
