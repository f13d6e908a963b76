"""Saliency-guided Q-networks (SGQN), and the pixel-based baselines they are compared with."""

from sb3_explain.sgqn.baselines import RAD, SODA, SVEA, DrQ
from sb3_explain.sgqn.pixel_sac import PixelSAC
from sb3_explain.sgqn.sgqn import SGQN

__all__ = ["RAD", "SGQN", "SODA", "SVEA", "DrQ", "PixelSAC"]
