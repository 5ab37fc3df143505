"""The feed of changes: tells a service which of its reads it must forget or refresh.

received   folds the read logs: which service received which fields of which customer
touched    which customers an entry of the consent log, the time or a signal may have changed
lines      pure: from what a service may still have, and may have now, to the lines that say so
feed       follows the consent log and the read logs, and answers polls
token      names a place in the feed of one service
departing  notes whose erasure begins, while their data key still exists
"""
