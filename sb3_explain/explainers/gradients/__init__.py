"""Explainers that read the gradient of the agent."""
