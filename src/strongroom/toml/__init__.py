"""Text files that people write: TOML read field by field, and errors that name file, line and the nearest name."""
