//! Error classes of tasks on databases: the same words mean the same on every engine.

use updraft_task::ErrorClass;

/// Cannot be reached, or cannot do it now.
pub(crate) const WAREHOUSE: ErrorClass = ErrorClass {
    name: "Warehouse",
    retryable: true,
    meaning: "the database cannot be reached, went away, is full, or another transaction is in the way",
};
/// Set up wrongly.
pub(crate) const BAD_CONNECTION: ErrorClass = ErrorClass {
    name: "BadConnection",
    retryable: false,
    meaning: "the connection is not set up, or the database refuses the user",
};
/// May not.
pub(crate) const DENIED: ErrorClass =
    ErrorClass { name: "Denied", retryable: false, meaning: "the user may not do this in the database" };
/// Rows or values.
pub(crate) const ROW_REFUSED: ErrorClass = ErrorClass {
    name: "RowRefused",
    retryable: false,
    meaning: "a value does not fit its column, or a row breaks a constraint of the table",
};
/// Statements.
pub(crate) const BAD_STATEMENT: ErrorClass =
    ErrorClass { name: "BadSql", retryable: false, meaning: "the database does not accept the statement" };

/// Columns.
pub(crate) const BAD_COLUMN: ErrorClass = ErrorClass {
    name: "BadColumn",
    retryable: false,
    meaning: "a column of the dataset is missing in the table, or the other way round, or their types do not fit",
};

/// Parameters.
pub(crate) const BAD_PARAM: ErrorClass = ErrorClass {
    name: "BadParam",
    retryable: false,
    meaning: "a statement has more or fewer parameters than `params` gives, or a value does not read as its type",
};
