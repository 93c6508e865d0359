"""The risk engine: what is known of a user and a device key, weighed by rules that explain themselves."""
