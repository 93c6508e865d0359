"""HTTP: translates requests into use cases and errors into RFC 9457 problems. No decision is taken here."""
