"""Alerts: what somebody must see soon. Rows in the ledger are the spool; a background task delivers them."""
