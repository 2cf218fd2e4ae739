"""The policy: what a source may ask for, who approves it, and how it is carried out."""
