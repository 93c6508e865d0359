"""The device: asks for keys, fetches ciphertext, keeps it under keys of its own, and opens it only for use."""
