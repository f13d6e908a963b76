"""A store of states as a page that a local server fills, a part at a time."""
