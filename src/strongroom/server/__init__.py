"""The office: keeps keys and rows, judges requests, and serves two APIs."""
