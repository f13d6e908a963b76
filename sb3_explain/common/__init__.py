"""What knows no agent: errors, files, registries, statistics, the training loop."""
