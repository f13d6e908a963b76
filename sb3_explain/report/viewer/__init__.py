"""The viewer: played steps of an agent that a person can look through, in one file."""
