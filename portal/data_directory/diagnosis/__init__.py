"""What `sovereign doctor` looks at. Each module yields findings that say what to do."""
