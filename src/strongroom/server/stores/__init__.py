"""Object stores, one adapter a file; only `wiring.py` picks one."""
