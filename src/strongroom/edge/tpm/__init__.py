"""A TPM 2.0 in plain Python: no library of another language, no daemon, one command after the other.

The section numbers here are those of the TCG TPM 2.0 Library: Part 1 (architecture), 2 (structures), 3 (commands).
"""
