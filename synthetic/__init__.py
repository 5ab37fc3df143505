"""What is answered instead of personal data: differentially private releases and their samples."""
