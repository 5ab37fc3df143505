"""The portal's tables and every statement that touches them: keys of people, and their sessions."""
