"""Routes that sign people in and out."""
