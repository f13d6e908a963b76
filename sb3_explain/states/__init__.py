"""An agent's states: collected, stored, batched and perturbed."""
