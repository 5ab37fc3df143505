"""A small CRM whose services reach customer data through the gate alone.

interaction  the format of what arrives             words       lists: mood, price, risk
intake       POST /crm/webhooks/interaction         mailbox     the durable queue and its worker
database     the CRM's own SQLite file              work        what an interaction changes
contacts     versions of contact data, conflicts    scoring     the score of one lead, pure
leads        scores in bulk, explained decisions    support     cases, drafts, the outbox
gate_calls   decisions and proposals over HTTP      company     a company and its customers

It imports the public client, and nothing else of the product: tests/architecture/test_examples.py.
"""
