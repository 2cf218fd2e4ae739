"""Networks, how they are named and rebuilt, how they are trained, and their weights' digest."""
