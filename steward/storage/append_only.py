"""Tables whose rows are only added: triggers refuse to change or to remove one."""

from sqlalchemy.engine import Connection


def protect(connection: Connection, table: str, message: str, names: tuple[str, str]) -> None:
    """Create the triggers `names`, of UPDATE and of DELETE. They raise `message`.

    What they refuse is an IntegrityError. They protect against mistakes, not against the owner of
    the database, who can drop them.
    """
    if connection.dialect.name == "postgresql":
        _protect_postgres(connection, table, message, names)
        return
    for name, act in zip(names, ("UPDATE", "DELETE"), strict=True):
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} BEFORE {act} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )


def _protect_postgres(
    connection: Connection, table: str, message: str, names: tuple[str, str]
) -> None:
    function = f"{table}_refuses"
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for name, act in zip(names, ("UPDATE", "DELETE OR TRUNCATE"), strict=True):
        connection.exec_driver_sql(
            f"CREATE TRIGGER {name} BEFORE {act} ON {table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
        )
