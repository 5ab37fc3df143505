"""The form of the settings: where they are read from, and the bounds of the privacy loss."""
