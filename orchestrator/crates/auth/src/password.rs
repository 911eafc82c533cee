//! Passwords: argon2id, a few at a time, and a rule that says what is wrong with a new one.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::AuthError;

/// Shortest password, in characters.
pub const SHORTEST: usize = 12;
/// Longest password, in bytes.
pub const LONGEST: usize = 256;
/// Hashes computed at one time: four times the memory below is what log-ins may take.
const AT_ONCE: usize = 4;

/// Passwords of length that are still the first ones that somebody tries. Compared in lower case, without digits and
/// signs at the end.
const DENIED: [&str; 24] = [
    "password",
    "passwordpassword",
    "passwort",
    "passwortpasswort",
    "administrator",
    "adminadmin",
    "adminadminadmin",
    "changeme",
    "changemeplease",
    "changemechangeme",
    "correcthorsebatterystaple",
    "correct horse battery staple",
    "iloveyouiloveyou",
    "letmeinletmein",
    "letmeinplease",
    "qwertyuiop",
    "qwertyuiopasdf",
    "qwertyqwerty",
    "secretsecret",
    "testtesttest",
    "trustno1trustno1",
    "updraft",
    "updraftupdraft",
    "welcomewelcome",
];

/// What a hash costs. Never below what OWASP asks for (19 MiB, 2 passes) outside tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 }
    }
}

impl PasswordCost {
    /// For tests that log in a hundred times.
    pub const fn cheap() -> Self {
        Self { memory_kib: 64, passes: 1, lanes: 1 }
    }
}

/// What is wrong with a new password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Fewer characters than [`SHORTEST`].
    TooShort(usize),
    /// More bytes than [`LONGEST`].
    TooLong,
    /// It is, or holds, the user's name.
    IsTheName,
    /// One character or a short piece, again and again.
    Repeats,
    /// Characters in a row of the alphabet or keyboard.
    Sequence,
    /// In the list of the first ones tried.
    Common,
    /// A control character, which cannot be typed.
    Control,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(found) => write!(
                f,
                "the password has {found} characters; at least {SHORTEST} are needed, four or more words are easiest to keep"
            ),
            Self::TooLong => write!(f, "the password is longer than {LONGEST} bytes"),
            Self::IsTheName => f.write_str("the password must not be the name, or the name with something around it"),
            Self::Repeats => f.write_str("the password repeats one short piece: choose something less regular"),
            Self::Sequence => f.write_str("the password is a row of the alphabet, digits or keyboard"),
            Self::Common => f.write_str("the password is one of the first that anybody tries"),
            Self::Control => f.write_str("the password holds a control character, which cannot be typed again"),
        }
    }
}

/// Judges a new password.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str, password: &str) -> Result<(), Weakness> {
    let characters = password.chars().count();
    if password.chars().any(char::is_control) {
        return Err(Weakness::Control);
    }
    if characters < SHORTEST {
        return Err(Weakness::TooShort(characters));
    }
    if password.len() > LONGEST {
        return Err(Weakness::TooLong);
    }
    let lower = password.to_lowercase();
    let name = name.to_lowercase();
    if !name.is_empty() && lower.contains(&name) && characters < name.chars().count() + SHORTEST {
        return Err(Weakness::IsTheName);
    }
    let letters: Vec<char> = lower.chars().collect();
    if (1..=4).any(|period| letters.iter().zip(&letters[period..]).all(|(a, b)| a == b)) {
        return Err(Weakness::Repeats);
    }
    const ROWS: [&str; 6] = [
        "abcdefghijklmnopqrstuvwxyz",
        "zyxwvutsrqponmlkjihgfedcba",
        "01234567890123456789",
        "98765432109876543210",
        "qwertyuiopasdfghjklzxcvbnm",
        "1q2w3e4r5t6z7u8i9o0p",
    ];
    if ROWS.iter().any(|row| row.contains(&lower)) {
        return Err(Weakness::Sequence);
    }
    let plain = lower.trim_end_matches(|c: char| !c.is_alphabetic());
    if DENIED.contains(&lower.as_str()) || DENIED.contains(&plain) {
        return Err(Weakness::Common);
    }
    Ok(())
}

/// Hashes and verifies, a few at a time, never on the threads that serve requests.
pub(crate) struct Passwords {
    cost: PasswordCost,
    places: Arc<Semaphore>,
    /// What an unknown user's password is compared with, so that it takes as long.
    dummy: tokio::sync::OnceCell<String>,
}

impl Passwords {
    pub(crate) fn new(cost: PasswordCost) -> Self {
        Self { cost, places: Arc::new(Semaphore::new(AT_ONCE)), dummy: tokio::sync::OnceCell::new() }
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| AuthError::Internal("the hasher is closed".to_owned()))?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread: a caller that goes away does not free the memory's place before its time.
            let _place = place;
            work()
        });
        done.await.map_err(|error| AuthError::Internal(format!("the hasher's thread ended: {error}")))?
    }

    /// A PHC string.
    pub(crate) async fn hash(&self, password: &SecretString) -> Result<String, AuthError> {
        let (password, cost) = (password.clone(), self.cost);
        self.apart(move || {
            let argon = argon(cost)?;
            let hash: PasswordHash =
                argon.hash_password(password.expose_secret().as_bytes()).map_err(|e| internal(&e))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether it fits. Without a hash it takes as long and does not.
    pub(crate) async fn verify(&self, password: &SecretString, hash: Option<&str>) -> Result<bool, AuthError> {
        let there = hash.is_some();
        let hash = match hash {
            Some(hash) => hash.to_owned(),
            None => {
                let nobody = SecretString::from("nobody's password");
                self.dummy.get_or_try_init(|| self.hash(&nobody)).await?.clone()
            }
        };
        let (password, cost) = (password.clone(), self.cost);
        let fits = self
            .apart(move || {
                let hash = PasswordHash::new(&hash).map_err(|error| internal(&error))?;
                // Its parameters are the hash's own; the constant-time comparison is the library's.
                Ok(argon(cost)?.verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(fits && there)
    }
}

fn internal(error: &dyn fmt::Display) -> AuthError {
    AuthError::Internal(format!("argon2: {error}"))
}

fn argon(cost: PasswordCost) -> Result<Argon2<'static>, AuthError> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None).map_err(|error| internal(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        for (password, expected) in [
            ("short", Weakness::TooShort(5)),
            ("elevenchars", Weakness::TooShort(11)),
            ("ada.lovelace", Weakness::IsTheName),
            ("ada.lovelace1!", Weakness::IsTheName),
            ("aaaaaaaaaaaaaa", Weakness::Repeats),
            ("abcabcabcabcabc", Weakness::Repeats),
            ("12345678901234", Weakness::Sequence),
            ("qwertyuiopasdf", Weakness::Sequence),
            ("password1234", Weakness::Common),
            ("Password2026!", Weakness::Common),
            ("CorrectHorseBatteryStaple", Weakness::Common),
            ("with a \u{7} bell in it", Weakness::Control),
            (&"x1y2z3".repeat(60), Weakness::TooLong),
        ] {
            assert_eq!(check("ada.lovelace", password), Err(expected), "{password}");
        }
        for good in [
            "four plain words here",
            "ümläut-sätze sind gut",
            "Tr0ub4dor&3-and-more",
            "ada.lovelace writes the first program",
        ] {
            assert_eq!(check("ada.lovelace", good), Ok(()), "{good}");
        }
    }

    #[tokio::test]
    async fn a_hash_fits_its_password_and_no_other_and_names_argon2id() {
        let passwords = Passwords::new(PasswordCost::cheap());
        let (right, wrong) = (SecretString::from("four plain words"), SecretString::from("four other words"));
        let hash = passwords.hash(&right).await.expect("a hash");
        assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(&right).await.expect("a hash"), "each has its own salt");
        assert!(passwords.verify(&right, Some(&hash)).await.expect("verify"));
        assert!(!passwords.verify(&wrong, Some(&hash)).await.expect("verify"));
        assert!(!passwords.verify(&right, None).await.expect("verify"), "nobody has no password");
        assert!(!passwords.verify(&SecretString::from("nobody's password"), None).await.expect("verify"));
    }

    #[test]
    fn the_default_cost_is_above_owasps_minimum() {
        let cost = PasswordCost::default();
        assert!(cost.memory_kib >= 19 * 1024 && cost.passes >= 2 && cost.lanes >= 1);
    }
}
