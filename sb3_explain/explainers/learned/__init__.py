"""Explainers whose masks are learned by a network."""
