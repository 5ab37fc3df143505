"""Data contracts (ODCS): sources, scenes, service levels, versions and triggers."""
