"""Explainers: one file a method, each entered in the registry by its decorator."""
