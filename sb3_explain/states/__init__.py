"""An agent's states: played, kept, batched and perturbed."""
