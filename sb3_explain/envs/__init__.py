"""Environments as agents observe them: recipes, wrappers, frame stacks, normalization."""
