//! Pages of lists: how many, and where the next one begins.

use data_encoding::BASE64URL_NOPAD;

use crate::problem::Problem;

/// Rows of a page if nobody says how many.
pub(crate) const DEFAULT: u32 = 50;
/// Most rows of a page.
pub(crate) const MOST: u32 = 500;

/// Rows of a page.
pub(crate) fn limit(given: Option<u32>) -> Result<u32, Problem> {
    within("limit", given, DEFAULT, MOST)
}

/// A number of things that is asked for.
pub(crate) fn within(name: &str, given: Option<u32>, default: u32, most: u32) -> Result<u32, Problem> {
    match given.unwrap_or(default) {
        number if (1..=most).contains(&number) => Ok(number),
        number => {
            let text = format!("`{name}` is {number}; it must be 1 to {most}");
            Err(Problem::bad_request("bad_query", text))
        }
    }
}

/// A place in a list, as clients hand it back. It holds nothing secret; it is packed so that nobody builds on its form.
pub(crate) fn seal(place: &str) -> String {
    BASE64URL_NOPAD.encode(place.as_bytes())
}

/// A place in a list that a client handed back.
pub(crate) fn open<T>(cursor: Option<&str>, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let text = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(read);
    let wrong = || {
        Problem::bad_request("bad_cursor", "`cursor` is not the `next` of a page of this list")
            .hint("begin again without `cursor`")
    };
    place.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_and_nothing_else_does() {
        let number = |text: &str| text.parse::<u64>().ok();
        assert_eq!(open(Some(&seal("42")), number).unwrap(), Some(42));
        assert_eq!(open(None, number).unwrap(), None);
        for bad in ["42", "!", "", &seal("x")] {
            assert_eq!(open(Some(bad), number).unwrap_err().code(), "bad_cursor", "{bad}");
        }
    }

    #[test]
    fn a_limit_has_bounds() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(500)).unwrap(), 500);
        assert!(limit(Some(0)).is_err() && limit(Some(501)).is_err());
    }
}
