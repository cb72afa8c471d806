"""Optimizers with posit state, and clipping of gradients: every line is one golden operation in the O stage."""

from positcore.nn.optim.adam import Adam, AdamW
from positcore.nn.optim.clipping import clip_grad_norm_, clip_grad_value_
from positcore.nn.optim.optimizer import PositOptimizer
from positcore.nn.optim.rmsprop import RMSprop
from positcore.nn.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "PositOptimizer", "RMSprop", "clip_grad_norm_", "clip_grad_value_"]
