//! The columns of a validated state (`FlightState`, schema version 1), and rows as a record batch.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::error::ArrowError;
use updraft_task::Timestamp;

use super::state::StateVector;

/// Version of the columns.
pub const SCHEMA_VERSION: i32 = 1;
/// Oldest contact of a live state, seconds.
pub const LIVE_S: i64 = 15;

/// What all rows of a batch share.
pub struct Batch<'a> {
    /// Region; `None` for rows without a position.
    pub region: Option<&'a str>,
    /// Its id.
    pub batch_id: &'a str,
}

/// A row and the answer that it stood in.
pub struct Seen {
    /// The row.
    pub state: StateVector,
    /// Instant that the answer's states belong to, Unix seconds.
    pub snapshot_time: i64,
    /// When the answer came.
    pub fetched_at: Timestamp,
}

impl Seen {
    /// Age of the position at the snapshot, seconds; `None` without a position.
    pub fn position_age_s(&self) -> Option<i64> {
        self.state.time_position.map(|at| self.snapshot_time - at)
    }

    fn contact_age_s(&self) -> i64 {
        self.snapshot_time - self.state.last_contact
    }
}

/// The columns.
pub(crate) fn schema() -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let field = |name: &str, data_type: DataType, nullable: bool| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field("icao24", DataType::Utf8, false),
        field("callsign", DataType::Utf8, true),
        field("origin_country", DataType::Utf8, true),
        field("time_position", instant(), true),
        field("last_contact", instant(), false),
        field("longitude_deg", DataType::Float64, true),
        field("latitude_deg", DataType::Float64, true),
        field("baro_altitude_m", DataType::Float64, true),
        field("geo_altitude_m", DataType::Float64, true),
        field("on_ground", DataType::Boolean, false),
        field("velocity_mps", DataType::Float64, true),
        field("true_track_deg", DataType::Float64, true),
        field("vertical_rate_mps", DataType::Float64, true),
        field("squawk", DataType::Utf8, true),
        field("spi", DataType::Boolean, false),
        field("position_source", DataType::Int32, false),
        field("category", DataType::Int32, true),
        field("region", DataType::Utf8, true),
        field("snapshot_time", instant(), false),
        field("fetched_at", instant(), false),
        field("batch_id", DataType::Utf8, false),
        field("schema_version", DataType::Int32, false),
        field("position_age_s", DataType::Int64, true),
        field("contact_age_s", DataType::Int64, false),
        field("is_live", DataType::Boolean, false),
        field("flags", DataType::Int32, false),
        field("altitude_band", DataType::Utf8, false),
        field("speed_band", DataType::Utf8, false),
    ]))
}

/// Rows as one record batch, in their order.
///
/// # Errors
/// Never for rows of this type; Arrow checks the columns against the schema.
pub fn record_batch(rows: &[Seen], batch: &Batch<'_>) -> Result<RecordBatch, ArrowError> {
    let instants = |of: &dyn Fn(&Seen) -> Option<i64>| -> ArrayRef {
        let millis = rows.iter().map(of);
        Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
    };
    let seconds = |of: &dyn Fn(&Seen) -> Option<i64>| instants(&|row| of(row).map(|s| s.saturating_mul(1000)));
    let texts = |of: &dyn for<'r> Fn(&'r StateVector) -> Option<&'r str>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(&row.state)).collect::<StringArray>())
    };
    let numbers = |of: &dyn Fn(&StateVector) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(&row.state)).collect::<Float64Array>())
    };
    let truths = |of: &dyn Fn(&Seen) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<BooleanArray>())
    };
    let small = |of: &dyn Fn(&StateVector) -> Option<i32>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(&row.state)).collect::<Int32Array>())
    };
    let ages =
        |of: &dyn Fn(&Seen) -> Option<i64>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int64Array>()) };
    RecordBatch::try_new(
        schema(),
        vec![
            texts(&|row| Some(&row.icao24)),
            texts(&|row| row.callsign.as_deref()),
            texts(&|row| row.origin_country.as_deref()),
            seconds(&|row| row.state.time_position),
            seconds(&|row| Some(row.state.last_contact)),
            numbers(&|row| row.longitude_deg),
            numbers(&|row| row.latitude_deg),
            numbers(&|row| row.baro_altitude_m),
            numbers(&|row| row.geo_altitude_m),
            truths(&|row| row.state.on_ground),
            numbers(&|row| row.velocity_mps),
            numbers(&|row| row.true_track_deg),
            numbers(&|row| row.vertical_rate_mps),
            texts(&|row| row.squawk.as_deref()),
            truths(&|row| row.state.spi),
            small(&|row| Some(row.position_source)),
            small(&|row| row.category),
            Arc::new(rows.iter().map(|_| batch.region).collect::<StringArray>()),
            seconds(&|row| Some(row.snapshot_time)),
            instants(&|row| Some(row.fetched_at.as_millis())),
            Arc::new(rows.iter().map(|_| Some(batch.batch_id)).collect::<StringArray>()),
            small(&|_| Some(SCHEMA_VERSION)),
            ages(&Seen::position_age_s),
            ages(&|row| Some(row.contact_age_s())),
            truths(&|row| row.contact_age_s() <= LIVE_S),
            small(&|row| Some(row.flags)),
            texts(&|row| Some(row.altitude_band())),
            texts(&|row| Some(row.speed_band())),
        ],
    )
}
