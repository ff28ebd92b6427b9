"""Which code computes a rollout: the readable networks, or the fast ones, plain or compiled."""

from dataclasses import dataclass

from engine.config.model import AttentionActionsConfig, ModelConfig
from engine.fast.decoder import DecoderNetwork, FastWanDecoder
from engine.fast.transformer import FastTransformer, PassPrograms
from engine.nets.codec import Codec
from engine.nets.networks import Networks
from engine.nets.taehv import LightDecoder
from engine.nets.transformer import Transformer
from engine.nets.vae import WanVAE

PLAIN = "off"


@dataclass(frozen=True)
class Kernels:
    """What a rollout's blocks are made with; none of it holds state, so a rollout may change kernels between blocks.

    Attributes:
        transformer: makes every pass.
        decoder: its `decoder_stream` turns latents into frames.
        compiled: how the programs were compiled, "off" if they were not.
    """

    transformer: Transformer | FastTransformer
    decoder: Codec | LightDecoder | FastWanDecoder
    compiled: str = PLAIN

    @property
    def fast(self) -> bool:
        """Whether passes have fixed shapes."""
        return isinstance(self.transformer, FastTransformer)


def readable_kernels(networks: Networks) -> Kernels:
    """The networks as they are written down to be read."""
    return Kernels(networks.transformer, networks.light_decoder or networks.codec)


def has_fast_kernels(config: ModelConfig) -> bool:
    """Whether a model is one that engine.fast computes: actions by attention, and a visual context."""
    net = config.transformer
    return isinstance(net.actions, AttentionActionsConfig) and net.visual_context is not None


def best_kernels(networks: Networks) -> Kernels:
    """The fast kernels for the models that have any, else the readable ones.

    To be called once, before anything is computed: it moves weights together in memory.
    """
    if not has_fast_kernels(networks.config):
        return readable_kernels(networks)
    decoder = networks.light_decoder or networks.codec
    if isinstance(decoder, WanVAE):
        decoder = FastWanDecoder(DecoderNetwork(decoder))
    return Kernels(FastTransformer(networks.transformer, networks.config.latent_size), decoder)


def uncompiled(kernels: Kernels) -> Kernels:
    """The same kernels with the programs as they were before compiling."""
    transformer, decoder = kernels.transformer, kernels.decoder
    if isinstance(transformer, FastTransformer):
        transformer = transformer.with_programs(PassPrograms())
    if isinstance(decoder, FastWanDecoder):
        decoder = FastWanDecoder(decoder.network)
    return Kernels(transformer, decoder)
