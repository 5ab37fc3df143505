"""What customers see and change, without routes: choices, history, reads, conditions."""
