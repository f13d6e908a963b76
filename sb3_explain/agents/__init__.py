"""An agent, its policy and its actions; how it is loaded; the one that comes with the package."""
