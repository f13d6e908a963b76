"""Explainers that read the agent on perturbed states."""
