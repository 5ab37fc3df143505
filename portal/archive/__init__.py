"""A customer's archive: all data about one customer in one file, exported and imported.

holding   the records of a data directory that archives are made from
content   the files of an archive
pack      files -> ZIP with an index, always the same bytes; and back, checked
building  archives made in the background, one per customer at a time
store     finished archives, kept for a day under unforgeable names
imported  archives of other controllers, stored sealed
"""
