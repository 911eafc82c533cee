//! Rows as JSON text, written straight from the model: the one argument form of every statement that takes many rows.
//! No intermediate value is built.

use updraft_model::time::Timestamp;
use uuid::Uuid;

/// A JSON list of lists.
pub(crate) struct Rows {
    text: Vec<u8>,
    rows: u32,
    in_row: bool,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self { text: vec![b'['], rows: 0, in_row: false }
    }

    /// Begins the next row.
    pub(crate) fn row(&mut self) -> &mut Self {
        if self.rows > 0 {
            self.text.extend_from_slice(b"],");
        }
        self.text.push(b'[');
        self.rows += 1;
        self.in_row = false;
        self
    }

    fn cell(&mut self) {
        if self.in_row {
            self.text.push(b',');
        }
        self.in_row = true;
    }

    pub(crate) fn str(&mut self, value: &str) -> &mut Self {
        self.cell();
        serde_json::to_writer(&mut self.text, value).expect("writing into memory cannot fail");
        self
    }

    pub(crate) fn opt_str(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.str(value),
            None => self.null(),
        }
    }

    pub(crate) fn id(&mut self, value: Uuid) -> &mut Self {
        self.cell();
        let mut buffer = [0; 36];
        self.text.push(b'"');
        self.text.extend_from_slice(value.hyphenated().encode_lower(&mut buffer).as_bytes());
        self.text.push(b'"');
        self
    }

    pub(crate) fn opt_id(&mut self, value: Option<Uuid>) -> &mut Self {
        match value {
            Some(value) => self.id(value),
            None => self.null(),
        }
    }

    pub(crate) fn int(&mut self, value: impl Into<i64>) -> &mut Self {
        self.cell();
        serde_json::to_writer(&mut self.text, &value.into()).expect("writing into memory cannot fail");
        self
    }

    pub(crate) fn opt_int(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    pub(crate) fn at(&mut self, value: Timestamp) -> &mut Self {
        self.int(value.as_millis())
    }

    pub(crate) fn opt_at(&mut self, value: Option<Timestamp>) -> &mut Self {
        self.opt_int(value.map(Timestamp::as_millis))
    }

    /// A number with a fraction; what JSON cannot say (NaN, infinities) becomes null.
    pub(crate) fn real(&mut self, value: Option<f64>) -> &mut Self {
        self.cell();
        serde_json::to_writer(&mut self.text, &value).expect("writing into memory cannot fail");
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.cell();
        self.text.extend_from_slice(b"null");
        self
    }

    pub(crate) fn len(&self) -> u32 {
        self.rows
    }

    /// The document, or nothing if there are no rows.
    pub(crate) fn finish(mut self) -> Option<String> {
        if self.rows == 0 {
            return None;
        }
        self.text.extend_from_slice(b"]]");
        Some(String::from_utf8(self.text).expect("JSON is UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::Rows;

    #[test]
    fn rows_are_a_json_list_of_lists() {
        let mut rows = Rows::new();
        rows.row().str("a\"b").int(-3).null();
        rows.row().real(Some(0.5)).real(Some(f64::NAN)).opt_int(Some(1));
        assert_eq!(rows.len(), 2);
        assert_eq!(rows.finish().as_deref(), Some(r#"[["a\"b",-3,null],[0.5,null,1]]"#));
        assert_eq!(Rows::new().finish(), None);
    }
}
