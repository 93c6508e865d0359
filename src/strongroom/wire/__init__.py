"""What travels between device, server and publisher; shared by both ends, and pure: no clock, network or disk."""
