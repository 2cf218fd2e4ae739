"""Did the model forget, what did it cost, and may the successor be registered."""
