"""The rows of a log's tables: of any log, of the consent log alone, and of the state log alone."""

from sqlalchemy import BigInteger, Integer
from sqlmodel import Field, SQLModel

# SQLite needs INTEGER for row numbers; PostgreSQL's INTEGER ends at 2^31.
Number = BigInteger().with_variant(Integer, "sqlite")


class HeadRow(SQLModel, table=True):
    __tablename__ = "head"
    id: int = Field(primary_key=True)
    size: int = Field(sa_type=Number)
    note: str


class BundleRow(SQLModel, table=True):
    __tablename__ = "bundle"
    index: int = Field(primary_key=True, sa_type=Number)
    data: bytes


class TileRow(SQLModel, table=True):
    __tablename__ = "tile"
    level: int = Field(primary_key=True)
    index: int = Field(primary_key=True, sa_type=Number)
    data: bytes


class SealedRow(SQLModel, table=True):
    """An event, encrypted under its customer's key. The tag can only be derived from that key."""

    __tablename__ = "sealed"
    index: int = Field(primary_key=True, sa_type=Number)
    tag: bytes = Field(index=True)
    data: bytes


class IdempotencyRow(SQLModel, table=True):
    __tablename__ = "idempotency"
    key: str = Field(primary_key=True)
    digest: bytes
    first: int = Field(sa_type=Number)  # the count is not stored: it would link entries


class CosignedRow(SQLModel, table=True):
    """The newest checkpoint with cosignatures of the witnesses."""

    __tablename__ = "cosigned"
    id: int = Field(primary_key=True)
    size: int = Field(sa_type=Number)
    note: str


class BucketRow(SQLModel, table=True):
    """A bucket of the verifiable map: see ledger.statemap.verifiable_map."""

    __tablename__ = "bucket"
    number: int = Field(primary_key=True)
    root: bytes
    records: bytes


class TransitionRow(SQLModel, table=True):
    """What an entry of the state log changed in the map: see ledger.statemap.transition."""

    __tablename__ = "transition"
    index: int = Field(primary_key=True, sa_type=Number)
    data: bytes


METADATA = SQLModel.metadata
