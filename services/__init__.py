"""The actors that can run, one file or folder each."""
