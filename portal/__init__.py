"""Pages for customers, stewards and regulators; an API for services; the command line."""
