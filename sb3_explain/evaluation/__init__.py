"""How far attributions can be trusted: metrics, masked return and parameter randomization."""
