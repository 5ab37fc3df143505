"""The faces: pages for customers, stewards, regulators; an API for services; the command line."""
