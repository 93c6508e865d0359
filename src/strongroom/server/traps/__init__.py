"""Traps: what looks like the real thing and that nobody honest touches (docs/how-to/decoys.md).

A decoy is answered by the same code, in the same time, as the real thing it looks like. That it was one is found out
after the answer was sent: by `sight`, from what the request said; `hits` does what follows.
"""
