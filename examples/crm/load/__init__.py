"""Withdrawals while every service of the CRM runs: python -m examples.crm load."""
