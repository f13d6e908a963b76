"""Environments as the agents saw them: wrappers, frame stacks, normalisation."""
