"""Everything about one customer in one file, and what another house makes of it.

holding   what a house has, as far as an archive is concerned
content   the files of an archive
pack      files -> ZIP with an index, always the same bytes; and back, checked
store     finished archives, for a day, under names that nobody can make
imported  archives of other houses, kept sealed
"""
