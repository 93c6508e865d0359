"""The risk engine at the office: what requests say becomes events, and what is decided of them becomes deeds."""
