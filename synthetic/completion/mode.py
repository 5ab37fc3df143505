"""The modes of completing a table for missing customers, by the names that contracts use."""

from enum import StrEnum


class Mode(StrEnum):
    RELEASE_ANCHORED = "release-anchored"
    DP_COUNTS = "dp-counts"
    STRATUM = "stratum"
    NAIVE = "naive"
