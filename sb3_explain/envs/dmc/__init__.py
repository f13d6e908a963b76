"""DMControl from pixels, with the modes of the DMControl generalization benchmark."""
