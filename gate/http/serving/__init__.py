"""The HTTP server of the product: uvicorn, with bounds of its own."""
