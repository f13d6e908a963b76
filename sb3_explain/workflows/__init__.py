"""From an agent to a folder: report, why, highlights, weaknesses, benchmark, training, the Hub."""
