"""Saliency-guided Q-networks, and what they are compared with."""
