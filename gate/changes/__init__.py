"""The feed of changes: tells a service which of its reads it must forget or may refresh.

feed        answers polls
advance     brings the feed up to the consent log and the read logs, in one transaction
received    folds the read logs: which service received which fields of which customer
touched     whom the time or a signal may have changed
lines       pure: from what a service may still have, and may have now, to the lines that say so
token       names a place in the feed of one service
departing   notes whose erasure begins, while their data key still exists
pseudonyms  how the feed names customers
"""
