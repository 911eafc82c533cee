//! Secrets at rest: each sealed by XChaCha20-Poly1305 under the newest master key, with a random nonce, bound to its key,
//! its connection and its field. A sealed text moved to another place does not open.

mod keys;

use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use serde::Serialize;
use updraft_store::StoreError;
use updraft_store::accounts::Accounts;

pub use keys::{EXAMPLE_KEY, KEY_VARIABLE, KeyError, KeyOrigin, add_key};

const NONCE: usize = 24;

/// One master key. Wiped from memory when it is dropped; never printed.
struct MasterKey {
    id: String,
    key: SecretBox<[u8; 32]>,
}

/// Master keys, the newest first.
pub struct Vault {
    keys: Vec<MasterKey>,
    origin: KeyOrigin,
}

impl std::fmt::Debug for Vault {
    /// Ids of the keys, which say nothing about them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("Vault").field("keys", &ids).field("origin", &self.origin).finish()
    }
}

/// Why something could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Sealed by a key that is not (any more) among the master keys.
    #[error(
        "sealed by the master key {key_id}, which is not among the keys given ({known}): add the old key below the new one"
    )]
    UnknownKey {
        /// The key's id.
        key_id: String,
        /// The ids of the keys that there are.
        known: String,
    },
    /// Changed, cut, or moved to another connection or field.
    #[error("the sealed text is damaged, or belongs to another connection or field: write the secret anew")]
    Damaged,
    /// No random numbers, or a text of many gigabytes.
    #[error("it could not be sealed: {0}")]
    Unsealable(String),
}

/// What a rotation did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// Connections sealed anew.
    pub resealed: u64,
    /// Connections that the newest key had sealed already.
    pub current: u64,
    /// Connections without secrets.
    pub without: u64,
    /// Connections that could not be opened, with the reason.
    pub failed: Vec<(String, String)>,
}

impl Vault {
    /// Reads the keys from where they are.
    ///
    /// # Errors
    /// A key that is missing, too short, guessable, published, or readable by others.
    pub fn load(origin: KeyOrigin) -> Result<Self, KeyError> {
        let keys = keys::load(&origin)?;
        let keys = keys.into_iter().map(|key| MasterKey { id: keys::id(&key), key }).collect();
        Ok(Self { keys, origin })
    }

    /// Where its keys come from.
    pub fn origin(&self) -> &KeyOrigin {
        &self.origin
    }

    /// Id of the key that seals.
    pub fn newest(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(key.key.expose_secret().into())
    }

    /// Seals a connection's field under the newest key; base64.
    ///
    /// # Errors
    /// No random numbers are to be had.
    pub fn seal(&self, connection: &str, field: &str, secret: &str) -> Result<String, VaultError> {
        let unsealable = |what: &dyn std::fmt::Display| VaultError::Unsealable(what.to_string());
        let key = self.keys.first().ok_or_else(|| unsealable(&"there is no master key"))?;
        let mut nonce = [0_u8; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| unsealable(&error))?;
        let bound = bound(&key.id, connection, field);
        let payload = Payload { msg: secret.as_bytes(), aad: &bound };
        let sealed = Self::cipher(key).encrypt(&XNonce::from(nonce), payload).map_err(|error| unsealable(&error))?;
        Ok(BASE64.encode(&[nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what [`Vault::seal`] sealed under that key, for that place.
    ///
    /// # Errors
    /// The key is unknown, or the text is not what was sealed there.
    pub fn open(&self, key_id: &str, connection: &str, field: &str, sealed: &str) -> Result<SecretString, VaultError> {
        let key = self.keys.iter().find(|key| key.id == key_id).ok_or_else(|| VaultError::UnknownKey {
            key_id: key_id.to_owned(),
            known: self.keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let bytes = BASE64.decode(sealed.as_bytes()).map_err(|_| VaultError::Damaged)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE>().ok_or(VaultError::Damaged)?;
        let bound = bound(key_id, connection, field);
        let payload = Payload { msg: text, aad: &bound };
        let opened = Self::cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| VaultError::Damaged)?;
        match String::from_utf8(opened) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(VaultError::Damaged)
            }
        }
    }

    /// Seals everything anew under the newest key. May be repeated, and interrupted, at any time; what somebody writes
    /// meanwhile is sealed by the newest key anyway.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn rotate(&self, accounts: &Arc<dyn Accounts>) -> Result<Rotated, StoreError> {
        let mut rotated = Rotated::default();
        for name in accounts.connections().await?.into_iter().map(|connection| connection.name) {
            // Somebody may write it at the same time; then it is looked at again.
            while let Some(mut connection) = accounts.stored_connection(&name).await? {
                let Some(key_id) = connection.key_id.clone().filter(|_| !connection.sealed.is_empty()) else {
                    rotated.without += 1;
                    break;
                };
                if key_id == self.newest() {
                    rotated.current += 1;
                    break;
                }
                let resealed = connection.sealed.iter().map(|(field, sealed)| {
                    let open = self.open(&key_id, &name, field, sealed)?;
                    Ok((field.clone(), self.seal(&name, field, open.expose_secret())?))
                });
                match resealed.collect::<Result<_, VaultError>>() {
                    Ok(sealed) => connection.sealed = sealed,
                    Err(error) => {
                        rotated.failed.push((name.clone(), error.to_string()));
                        break;
                    }
                }
                connection.key_id = Some(self.newest().to_owned());
                let expected = connection.version;
                connection.version += 1;
                if accounts.put_connection(&connection, expected).await? {
                    rotated.resealed += 1;
                    break;
                }
            }
        }
        Ok(rotated)
    }
}

/// What a sealed text is bound to; lengths keep `a` + `bc` apart from `ab` + `c`.
fn bound(key_id: &str, connection: &str, field: &str) -> Vec<u8> {
    let mut bytes = b"updraft connection v1".to_vec();
    for part in [key_id, connection, field] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(keys: &str) -> Vault {
        Vault::load(KeyOrigin::Text(SecretString::from(keys))).expect("good keys")
    }

    fn key(seed: u8) -> String {
        updraft_model::canonical::sha256_hex(&[seed])
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let vault = vault(&key(1));
        let sealed = vault.seal("warehouse", "password", "hunter2").expect("sealed");
        assert_ne!(sealed, vault.seal("warehouse", "password", "hunter2").expect("sealed"), "a nonce of its own");
        let open = |connection: &str, field: &str, sealed: &str| vault.open(vault.newest(), connection, field, sealed);
        let opened = open("warehouse", "password", &sealed).expect("opened");
        assert_eq!(opened.expose_secret(), "hunter2");
        for (connection, field) in [("lake", "password"), ("warehouse", "token"), ("warehousep", "assword")] {
            assert!(matches!(open(connection, field, &sealed), Err(VaultError::Damaged)), "{connection}.{field}");
        }
        let bytes = BASE64.decode(sealed.as_bytes()).expect("base64");
        for place in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[place] ^= 1;
            assert!(open("warehouse", "password", &BASE64.encode(&forged)).is_err(), "byte {place}");
        }
        for bad in ["", "AAAA", "not base64!"] {
            assert!(matches!(open("warehouse", "password", bad), Err(VaultError::Damaged)), "{bad}");
        }
    }

    #[test]
    fn old_keys_open_and_the_newest_seals() {
        let old = vault(&key(1));
        let sealed = old.seal("a", "b", "secret").expect("sealed");
        let both = vault(&format!("{},{}", key(2), key(1)));
        assert_ne!(both.newest(), old.newest());
        assert_eq!(both.open(old.newest(), "a", "b", &sealed).expect("opened").expose_secret(), "secret");
        let without = vault(&key(2));
        let error = without.open(old.newest(), "a", "b", &sealed).expect_err("the old key is gone");
        assert!(error.to_string().contains(old.newest()) && error.to_string().contains(without.newest()), "{error}");
    }

    #[test]
    fn keys_are_not_printed() {
        let text = format!("{:?}", vault(&key(3)));
        assert!(!text.contains(&key(3)), "{text}");
    }
}
