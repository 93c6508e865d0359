"""Judge evidence: bytes, roots and a time in; claims or a rejection out (RFC 9334). No clock, network or store."""
