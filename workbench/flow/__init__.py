"""The impure side: load from the ledger -> stage -> record. Only this package and `bench` touch the ledger."""
