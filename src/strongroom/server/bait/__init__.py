"""Bait: what decoys look like, how they are known again, and which of them this process knows. Part of the office."""
