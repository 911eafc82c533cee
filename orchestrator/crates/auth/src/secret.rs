//! Random texts that open something: session ids, link tokens, API tokens. Only their sha-256 is ever kept.

use data_encoding::BASE32_NOPAD;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use updraft_model::canonical::sha256_hex;

use crate::AuthError;

/// Begins every API token, so that scanners and people recognise one.
pub(crate) const TOKEN_MARK: &str = "upd_";
/// 256 bits in base32.
const BODY: usize = 52;
const CHECKSUM: usize = 6;
/// Letters of a token that are kept to recognise it by.
const SHOWN: usize = 8;

fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes).to_ascii_lowercase()
}

/// 256 random bits.
pub(crate) fn random() -> Result<SecretString, AuthError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| AuthError::Internal(format!("no random numbers: {error}")))?;
    Ok(SecretString::from(base32(&bytes)))
}

fn checksum(body: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(body.as_bytes()).into();
    base32(&digest)[..CHECKSUM].to_owned()
}

/// A new API token: `upd_`, 256 random bits, a checksum against slips of copying.
pub(crate) fn api_token() -> Result<SecretString, AuthError> {
    use secrecy::ExposeSecret as _;
    let body = random()?;
    let body = body.expose_secret();
    Ok(SecretString::from(format!("{TOKEN_MARK}{body}{}", checksum(body))))
}

/// Whether a text can be an API token at all: form and checksum. Saves the store a look.
pub(crate) fn is_api_token(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(TOKEN_MARK) else { return false };
    if rest.len() != BODY + CHECKSUM || !rest.is_ascii() {
        return false;
    }
    let (body, sum) = rest.split_at(BODY);
    checksum(body).as_bytes().ct_eq(sum.as_bytes()).into()
}

/// Whether a text can be a session's id or a link's token.
pub(crate) fn is_random(text: &str) -> bool {
    text.len() == BODY && text.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte))
}

/// What is kept of it.
pub(crate) fn hash(text: &str) -> String {
    sha256_hex(text.as_bytes())
}

/// What is shown of a token in lists.
pub(crate) fn shown(token: &str) -> String {
    token.chars().take(TOKEN_MARK.len() + SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn tokens_have_a_mark_and_a_checksum_and_are_never_printed() {
        let token = api_token().expect("a token");
        assert!(!format!("{token:?}").contains(TOKEN_MARK));
        let text = token.expose_secret();
        assert!(is_api_token(text));
        assert_eq!(text.len(), 62);
        assert_eq!(shown(text).len(), 12);
        for place in [4, 20, 61] {
            let mut slip = text.to_owned().into_bytes();
            slip[place] = if slip[place] == b'a' { b'b' } else { b'a' };
            assert!(!is_api_token(&String::from_utf8(slip).expect("text")), "place {place}");
        }
        for bad in ["", "upd_", "nothing", &text[1..], &format!("{text}a"), &text.to_uppercase()] {
            assert!(!is_api_token(bad), "{bad}");
        }
    }

    #[test]
    fn random_texts_differ_and_are_recognised() {
        let (one, two) = (random().expect("random"), random().expect("random"));
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(is_random(one.expose_secret()));
        assert!(!is_random("a' OR 1=1"));
        assert_eq!(hash(one.expose_secret()).len(), 64);
    }
}
