"""The intake service: takes tickets in, and shows where each request stands."""
