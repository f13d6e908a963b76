"""Explainers that use the gradients of the agent's scores."""
