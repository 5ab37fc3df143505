"""One served test for each feature of the product, and the table made from them.

    catalogue.py    the features, each with a description and its state
    served.py       the product as a user starts it: `sovereign serve`, HTTP, commands
    page.py         an HTML page as a visitor uses it: its buttons and what they send
    seeding.py      a small data directory; the only module here that imports the product
    signals.py      a service that signs what it reports
    __main__.py     writes docs/features.md

The tests use the product from outside: commands, HTTP, files of the data directory. They inject
nothing and run by the real clock.
"""
