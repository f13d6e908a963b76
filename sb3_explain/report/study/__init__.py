"""The page of a study's participants, and the page of its results."""
