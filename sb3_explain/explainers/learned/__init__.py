"""Explainers that learn masks."""
