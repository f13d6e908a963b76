"""What VisionMask learns: its own objective and the paper's."""
