"""The checks of a diagnosis: one function a module, from shared evidence to what it says."""
