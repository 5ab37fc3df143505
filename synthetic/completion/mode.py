"""How a table is completed for customers who are missing from it, as contracts name it."""

from enum import StrEnum


class Mode(StrEnum):
    RELEASE_ANCHORED = "release-anchored"
    DP_COUNTS = "dp-counts"
    STRATUM = "stratum"
    NAIVE = "naive"
