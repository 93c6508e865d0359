"""Key vaults, one adapter a file; only `wiring.py` picks one."""
