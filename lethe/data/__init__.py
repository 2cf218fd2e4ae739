"""Data sets as Parquet under DVC, and forget sets as references into them."""
