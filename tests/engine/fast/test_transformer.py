"""The fast transformer computes what the readable one computes, from the same weights."""

import pytest
import torch

from engine.fast.transformer import FastTransformer
from engine.transformer import Transformer
from tests.engine.test_transformer import clip
from tests.engine.tiny import big_config
