"""TPM 2.0 structures, as a TPM writes them and a judge reads them (TCG TPM 2.0 Library, Parts 1 and 2)."""
