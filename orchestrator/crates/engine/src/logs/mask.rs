//! Takes secrets out of text before it is written anywhere, in the forms in which they leak: as they are, inside JSON,
//! in a URL, in base64. A secret of several lines is taken out line by line.

use std::borrow::Cow;

/// Shortest secret that is masked: shorter ones would black out ordinary words.
const MIN_SECRET_CHARS: usize = 4;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    /// Longest first, so that a secret inside another leaves nothing behind.
    patterns: Vec<String>,
}

impl Mask {
    /// For these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns = Vec::new();
        for secret in secrets {
            if secret.chars().count() < MIN_SECRET_CHARS {
                continue;
            }
            patterns.push(secret.to_owned());
            let lines = secret.lines().map(str::trim).filter(|line| line.chars().count() >= MIN_SECRET_CHARS);
            patterns.extend(lines.map(str::to_owned));
            let quoted = serde_json::Value::from(secret).to_string();
            patterns.push(quoted[1..quoted.len() - 1].to_owned());
            patterns.push(percent(secret));
            for shift in 0..3 {
                patterns.extend(base64_inside(secret.as_bytes(), shift));
            }
        }
        patterns.retain(|pattern| pattern.chars().count() >= MIN_SECRET_CHARS);
        patterns.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        patterns.dedup();
        Self { patterns }
    }

    /// The text with every secret as `***`.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.patterns {
            if text.contains(pattern.as_str()) {
                text = Cow::Owned(text.replace(pattern.as_str(), "***"));
            }
        }
        text
    }
}

fn percent(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The characters of a base64 text that depend on the secret alone, if it begins `shift` bytes into a group of three,
/// in both alphabets.
fn base64_inside(secret: &[u8], shift: usize) -> Vec<String> {
    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bit = |at: usize| {
        let at = at.checked_sub(shift * 8)?;
        secret.get(at / 8).map(|byte| byte >> (7 - at % 8) & 1)
    };
    let mut text = String::new();
    for sextet in (shift * 8).div_ceil(6).. {
        let mut value = 0;
        for offset in 0..6 {
            if let Some(set) = bit(sextet * 6 + offset) {
                value = (value << 1) | usize::from(set);
            } else {
                let url = text.replace('+', "-").replace('/', "_");
                return if url == text { vec![text] } else { vec![text, url] };
            }
        }
        text.push(char::from(STANDARD[value]));
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::Mask;

    #[test]
    fn a_secret_is_taken_out_in_every_form_in_which_it_leaks() {
        let mask = Mask::new(["p\"ss w/rd+1"]);
        for (text, expected) in [
            ("plain p\"ss w/rd+1 end", "plain *** end"),
            (r#"{"a":"p\"ss w/rd+1"}"#, r#"{"a":"***"}"#),
            ("http://u:p%22ss%20w%2Frd%2B1@host", "http://u:***@host"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(mask.apply(text), expected);
        }
    }

    #[test]
    fn base64_is_masked_wherever_the_secret_stands_in_the_encoded_text() {
        // base64 of "hunter22", "u:hunter22", "us:hunter22".
        for encoded in ["aHVudGVyMjI=", "dTpodW50ZXIyMg==", "dXM6aHVudGVyMjI="] {
            let masked = Mask::new(["hunter22"]).apply(encoded).into_owned();
            assert!(masked.contains("***") && masked.len() < encoded.len(), "{encoded} became {masked}");
        }
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_line_by_line() {
        let mask = Mask::new(["-----KEY\nabcdefgh\nijklmnop"]);
        assert_eq!(mask.apply("abcdefgh"), "***");
        assert_eq!(mask.apply("x ijklmnop"), "x ***");
    }

    #[test]
    fn short_values_are_left_alone() {
        assert_eq!(Mask::new(["abc"]).apply("abc"), "abc");
    }
}
