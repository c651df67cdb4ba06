"""Content digests, snapshots, statements, signing, receipts, the ledger and the guard that reads them."""
