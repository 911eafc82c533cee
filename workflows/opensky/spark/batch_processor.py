"""States of a window as one batch: each aircraft and contact once, in order, published by a manifest.

    batch_processor.py s3 PATH [PATH ...]     Parquet of states; paths are addresses, or relative to the lake
    batch_processor.py postgres FROM TO       rows of processed_flights with FROM <= last_contact < TO (RFC 3339)

The task `spark.submit` says by the environment where the lake is (UPDRAFT_LAKE_URL), where the rows belong
(UPDRAFT_SPARK_OUTPUT) and where the manifest does (UPDRAFT_SPARK_MANIFEST). The form `postgres` needs UPDRAFT_JDBC_URL, and
takes UPDRAFT_JDBC_USER and UPDRAFT_JDBC_PASSWORD. The task `process_datafusion` of batch.yaml gives the same rows.
"""

import argparse
import json
import os
import threading
import time
from datetime import datetime

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

COLUMNS = [
    "icao24", "callsign", "origin_country", "time_position", "last_contact", "longitude_deg", "latitude_deg",
    "baro_altitude_m", "geo_altitude_m", "on_ground", "velocity_mps", "true_track_deg", "vertical_rate_mps", "squawk",
    "spi", "position_source", "category", "region", "snapshot_time", "fetched_at", "batch_id", "schema_version",
    "position_age_s", "contact_age_s", "is_live", "flags", "altitude_band", "speed_band",
]  # fmt: skip
# Seconds between two looks for the JVM; the job is gone within 5 s of its end.
LOOK_S = 1.0


def end_with_the_jvm() -> None:
    """Ends this process soon after the JVM that started it, which by itself it would outlive between two Spark calls."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return  # started by `python`: the JVM is our child and ends with us
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(143)

    threading.Thread(target=watch, name="end-with-the-jvm", daemon=True).start()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="States of a window as one batch.")
    forms = parser.add_subparsers(dest="source", required=True)
    s3 = forms.add_parser("s3", help="Parquet of states in the lake")
    s3.add_argument("paths", nargs="+", metavar="PATH")
    postgres = forms.add_parser("postgres", help="rows of processed_flights")
    postgres.add_argument("start", type=instant, metavar="FROM")
    postgres.add_argument("end", type=instant, metavar="TO")
    return parser.parse_args()


def instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text} has no offset from UTC: write it as 2025-12-02T09:00:00Z")
    return at


def read(spark: SparkSession, chosen: argparse.Namespace) -> DataFrame:
    if chosen.source == "s3":
        lake = os.environ.get("UPDRAFT_LAKE_URL", "").rstrip("/")
        places = [path if "://" in path else f"{lake}/{path.strip('/')}" for path in chosen.paths]
        # A folder of dt=…/hour=… is read for its files alone: their columns say all there is.
        return spark.read.option("recursiveFileLookup", "true").parquet(*places)
    # The bounds are instants that have been parsed, so that nothing but they can stand in the query.
    table = (
        "(select * from processed_flights"
        f" where last_contact >= timestamptz '{chosen.start.isoformat()}'"
        f" and last_contact < timestamptz '{chosen.end.isoformat()}') as states"
    )
    options = {"url": os.environ["UPDRAFT_JDBC_URL"], "dbtable": table, "driver": "org.postgresql.Driver"}
    for name, variable in (("user", "UPDRAFT_JDBC_USER"), ("password", "UPDRAFT_JDBC_PASSWORD")):
        if variable in os.environ:
            options[name] = os.environ[variable]
    # Rows come in portions: without this the driver of PostgreSQL keeps all of them.
    return spark.read.format("jdbc").options(**options, fetchsize="10000").load()


def batch(states: DataFrame) -> DataFrame:
    """Of the reports of one contact the latest, ordered by aircraft and contact."""
    of_one_contact = Window.partitionBy("icao24", "last_contact").orderBy(
        F.col("snapshot_time").desc(),
        F.col("fetched_at").desc(),
        F.col("region").asc_nulls_last(),
        F.col("batch_id").asc(),
    )
    first = states.withColumn("place", F.row_number().over(of_one_contact)).where("place = 1")
    return first.select(*COLUMNS).orderBy("icao24", "last_contact")


class Lake:
    """Objects, by the file system that Spark itself uses."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.jvm = spark.sparkContext._jvm
        self.conf = spark.sparkContext._jsc.hadoopConfiguration()
        self.root = root

    def _at(self, url: str):
        path = self.jvm.org.apache.hadoop.fs.Path(url)
        return path.getFileSystem(self.conf), path

    def write(self, url: str, value: object, overwrite: bool) -> None:
        files, path = self._at(url)
        stream = files.create(path, overwrite)
        stream.write(bytearray(json.dumps(value, indent=1).encode()))
        stream.close()

    def parts(self, folder: str) -> list[dict]:
        files, path = self._at(f"{self.root}/{folder}")
        found = [(entry.getPath().getName(), entry.getLen()) for entry in files.listStatus(path)]
        parts = sorted((name, size) for name, size in found if name.startswith("part-"))
        return [{"name": f"{folder}/{name}", "bytes": size} for name, size in parts]


def main() -> None:
    end_with_the_jvm()
    chosen = arguments()
    # No name here: the one that the task gave is what the application is found by.
    spark = SparkSession.builder.config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MILLIS").getOrCreate()
    application = spark.sparkContext.applicationId
    output = os.environ["UPDRAFT_SPARK_OUTPUT"]
    lake = Lake(spark, output)
    # The folder that a driver on the cluster works in is called like the driver.
    driver = os.path.basename(os.getcwd())
    if driver.startswith("driver-"):
        lake.write(f"{output}/driver.json", {"driver": driver}, overwrite=True)
    # A folder of this application alone: of two that were started for one task, neither sees the other's files.
    rows = batch(read(spark, chosen))
    rows.write.mode("errorifexists").option("compression", "zstd").parquet(f"{output}/{application}")
    count = spark.read.parquet(f"{output}/{application}").count()
    manifest = {"application_id": application, "rows": count, "files": lake.parts(application)}
    lake.write(os.environ["UPDRAFT_SPARK_MANIFEST"], manifest, overwrite=True)
    print(json.dumps({"event": "published", "rows": count, "application_id": application}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
