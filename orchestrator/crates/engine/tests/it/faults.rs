//! Stores that fail: no result is lost, none is counted twice.
