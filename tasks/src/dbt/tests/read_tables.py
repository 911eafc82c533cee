"""Reads tables of a warehouse as JSON for the comparison of engines: {table: {column: [values in order of the keys]}}.

argv[1]: {"engine": …, "connect": {…}, "schema": …, "tables": {name: [key column, …]}}; a password comes by PASSWORD.
Instants become ISO texts in UTC, decimals numbers; nothing else is touched.
"""

import datetime
import decimal
import json
import os
import sys


def duckdb(connect):
    import duckdb

    connection = duckdb.connect(connect["path"], read_only=True)
    connection.execute("set timezone = 'UTC'")

    def query(sql):
        cursor = connection.execute(sql)
        return [column[0] for column in cursor.description], cursor.fetchall()

    return query


def postgres(connect):
    import psycopg2

    connection = psycopg2.connect(connect["url"])

    def query(sql):
        with connection.cursor() as cursor:
            cursor.execute("set timezone = 'UTC'")
            cursor.execute(sql)
            return [column[0] for column in cursor.description], cursor.fetchall()

    return query


def clickhouse(connect):
    import clickhouse_connect

    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=connect["port"], username=connect["user"], password=os.environ["PASSWORD"]
    )

    def query(sql):
        found = client.query(sql)
        return found.column_names, found.result_rows

    return query


def plain(value):
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def main():
    asked = json.loads(sys.argv[1])
    query = {"duckdb": duckdb, "postgres": postgres, "clickhouse": clickhouse}[asked["engine"]](asked["connect"])
    answer = {}
    for table, keys in asked["tables"].items():
        names, rows = query(f"select * from {asked['schema']}.{table}")
        rows = [[plain(value) for value in row] for row in rows]
        places = [list(names).index(key) for key in keys]
        rows.sort(key=lambda row: [(row[at] is not None, str(row[at])) for at in places])
        answer[table] = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    json.dump(answer, sys.stdout)


main()
