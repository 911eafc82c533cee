//! Where master keys come from, and which are refused.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use updraft_model::canonical::sha256_hex;

use crate::authenticator::write_private;

/// The environment variable that holds the keys.
pub const KEY_VARIABLE: &str = "UPDRAFT_MASTER_KEY";
/// The key of the documentation's examples, which is therefore refused.
pub const EXAMPLE_KEY: &str = "dXBkcmFmdCBleGFtcGxlIG1hc3RlciBrZXkgLSBub3Q=";
/// A random key of 32 bytes has about 30 different ones; one of fewer was typed.
const DIFFERENT_BYTES: usize = 16;

/// Where the keys are.
#[derive(Clone)]
pub enum KeyOrigin {
    /// Keys as text (the environment), separated by commas or white space, the newest first.
    Text(SecretString),
    /// A file with one key a line, the newest first, `#` for remarks; 0600.
    File(PathBuf),
    /// A file of the same form that is made if it is missing (`updraft dev`).
    Generated(PathBuf),
}

impl KeyOrigin {
    /// The variable's text if it is set, else the file named, else the project's own.
    pub fn choose(variable: Option<String>, file: Option<PathBuf>, own: PathBuf) -> Self {
        match (variable.filter(|text| !text.trim().is_empty()), file) {
            (Some(text), _) => Self::Text(SecretString::from(text)),
            (None, Some(file)) => Self::File(file),
            (None, None) => Self::Generated(own),
        }
    }

    /// `environment`, `file` or `generated`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "environment",
            Self::File(_) => "file",
            Self::Generated(_) => "generated",
        }
    }
}

impl fmt::Debug for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str(KEY_VARIABLE),
            Self::File(path) | Self::Generated(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the master key ({place}) {reason}: {remedy}")]
pub struct KeyError {
    /// A stable code for programs.
    pub code: &'static str,
    /// The variable, or the file with its line.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

const MAKE_ONE: &str = "make one by `head -c 32 /dev/urandom | base64`";

fn refused(code: &'static str, place: impl Into<String>, reason: impl Into<String>, remedy: &str) -> KeyError {
    KeyError { code, place: place.into(), reason: reason.into(), remedy: remedy.to_owned() }
}

pub(super) fn id(key: &SecretBox<[u8; 32]>) -> String {
    let named = [b"updraft master key id".as_slice(), key.expose_secret()].concat();
    let mut id = sha256_hex(&named);
    id.truncate(12);
    id
}

pub(super) fn load(origin: &KeyOrigin) -> Result<Vec<SecretBox<[u8; 32]>>, KeyError> {
    match origin {
        KeyOrigin::Text(text) => {
            let words = text.expose_secret().split([',', ' ', '\n', '\t']).filter(|word| !word.is_empty());
            all(KEY_VARIABLE, words.map(|word| (KEY_VARIABLE.to_owned(), word)))
        }
        KeyOrigin::File(path) => from_file(path),
        KeyOrigin::Generated(path) => {
            if !path.exists() {
                generate(path)?;
            }
            from_file(path)
        }
    }
}

fn from_file(path: &Path) -> Result<Vec<SecretBox<[u8; 32]>>, KeyError> {
    let place = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        refused("master_key_unreadable", &place, format!("cannot be read ({error})"), "check the path and its owner")
    };
    let about = std::fs::metadata(path).map_err(unreadable)?;
    if about.mode() & 0o077 != 0 {
        let reason = format!("can be read or written by others (mode {:o})", about.mode() & 0o777);
        let remedy = format!("chmod 600 {place}, and make a new key if others may have read it");
        return Err(refused("master_key_readable_by_others", place, reason, &remedy));
    }
    let text = SecretString::from(std::fs::read_to_string(path).map_err(unreadable)?);
    let lines = text.expose_secret().lines().zip(1..).map(|(line, number)| (line.trim(), number));
    let keys = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    all(&place, keys.map(|(line, number)| (format!("{place}:{number}"), line)))
}

fn all<'t>(place: &str, texts: impl Iterator<Item = (String, &'t str)>) -> Result<Vec<SecretBox<[u8; 32]>>, KeyError> {
    let keys = texts.map(|(place, text)| parse(&place, text)).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err(refused("master_key_missing", place, "holds no key", MAKE_ONE));
    }
    Ok(keys)
}

fn parse(place: &str, text: &str) -> Result<SecretBox<[u8; 32]>, KeyError> {
    let decoded = if text.len() == 64 {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
    } else {
        BASE64.decode(text.as_bytes()).ok()
    };
    let wrong = "is not 32 bytes in base64 or hex";
    let mut bytes = decoded.ok_or_else(|| refused("master_key_malformed", place, wrong, MAKE_ONE))?;
    let sized = <[u8; 32]>::try_from(bytes.as_slice());
    let length = bytes.len();
    bytes.zeroize();
    let mut key = sized
        .map_err(|_| refused("master_key_wrong_length", place, format!("has {length} bytes, not 32"), MAKE_ONE))?;
    let boxed = SecretBox::new(Box::new(key));
    key.zeroize();
    if text == EXAMPLE_KEY {
        return Err(refused("master_key_is_an_example", place, "is the one of the documentation", MAKE_ONE));
    }
    let different: std::collections::HashSet<u8> = boxed.expose_secret().iter().copied().collect();
    let steps: std::collections::HashSet<u8> =
        boxed.expose_secret().windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    if different.len() < DIFFERENT_BYTES || steps.len() <= 1 {
        return Err(refused("master_key_is_guessable", place, "is not random", MAKE_ONE));
    }
    Ok(boxed)
}

fn new_key() -> Result<SecretString, KeyError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        refused(
            "master_key_not_made",
            "random",
            format!("cannot be made ({error})"),
            "the system gives no random numbers",
        )
    })?;
    let text = SecretString::from(BASE64.encode(&bytes));
    bytes.zeroize();
    Ok(text)
}

fn write(path: &Path, text: &str) -> Result<(), KeyError> {
    write_private(path, text).map_err(|error| {
        let place = path.display().to_string();
        refused("master_key_not_made", place, format!("cannot be written ({error})"), "check the folder")
    })
}

const HEAD: &str =
    "# Updraft's master keys, the newest first. Without them no stored secret can be read: keep a copy elsewhere.\n";

fn generate(path: &Path) -> Result<(), KeyError> {
    let key = new_key()?;
    let text = SecretString::from(format!("{HEAD}{}\n", key.expose_secret()));
    write(path, text.expose_secret())
}

/// Puts a new key above the others in a key file, which makes it the one that seals; says its id. Then rotate, then
/// remove the old ones.
///
/// # Errors
/// The file is not a good key file, or cannot be written.
pub fn add_key(path: &Path) -> Result<String, KeyError> {
    from_file(path)?;
    let place = path.display().to_string();
    let old = std::fs::read_to_string(path).map_err(|error| {
        refused("master_key_unreadable", &place, format!("cannot be read ({error})"), "check the path and its owner")
    })?;
    let old = SecretString::from(old);
    let key = new_key()?;
    let below = old.expose_secret().strip_prefix(HEAD).unwrap_or(old.expose_secret());
    let text = SecretString::from(format!("{HEAD}{}\n{below}", key.expose_secret()));
    write(path, text.expose_secret())?;
    Ok(id(&parse(&place, key.expose_secret())?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Vault;
    use super::*;

    fn code(origin: KeyOrigin) -> &'static str {
        load(&origin).expect_err("refused").code
    }

    fn text(text: &str) -> KeyOrigin {
        KeyOrigin::Text(SecretString::from(text))
    }

    #[test]
    fn bad_keys_are_refused_with_the_reason_and_the_remedy() {
        for (bad, expected) in [
            ("", "master_key_missing"),
            (EXAMPLE_KEY, "master_key_is_an_example"),
            ("change-me", "master_key_malformed"),
            ("c2hvcnQ=", "master_key_wrong_length"),
            (&"00".repeat(32), "master_key_is_guessable"),
            (&BASE64.encode(&(0..32).collect::<Vec<u8>>()), "master_key_is_guessable"),
            (&BASE64.encode(b"aaaabbbbccccddddaaaabbbbccccdddd"), "master_key_is_guessable"),
        ] {
            let error = load(&text(bad)).expect_err(bad);
            assert_eq!(error.code, expected, "{bad}");
            assert!(error.to_string().contains(KEY_VARIABLE), "{error}");
            assert!(bad.is_empty() || !error.to_string().contains(bad), "the key itself is not repeated: {error}");
        }
        let hex = sha256_hex(b"a random key");
        assert_eq!(load(&text(&hex)).expect("hex is good").len(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("made/master.key");
        let made = Vault::load(KeyOrigin::Generated(path.clone())).expect("made");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("its folder"))), (0o600, 0o700));
        let again = Vault::load(KeyOrigin::File(path.clone())).expect("read");
        assert_eq!(made.newest(), again.newest());
        for open in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(open)).expect("chmod");
            assert_eq!(code(KeyOrigin::Generated(path.clone())), "master_key_readable_by_others");
        }
        assert_eq!(code(KeyOrigin::File(folder.path().join("none"))), "master_key_unreadable");
    }

    #[test]
    fn a_new_key_goes_on_top_and_the_old_one_stays_readable() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("master.key");
        let old = Vault::load(KeyOrigin::Generated(path.clone())).expect("made");
        let sealed = old.seal("a", "b", "secret").expect("sealed");
        let newest = add_key(&path).expect("added");
        let both = Vault::load(KeyOrigin::File(path.clone())).expect("read");
        assert_eq!(both.newest(), newest);
        assert!(both.open(old.newest(), "a", "b", &sealed).is_ok());
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn the_environment_comes_before_the_files() {
        let (file, own) = (PathBuf::from("/given"), PathBuf::from("/own"));
        let chosen = |variable: Option<&str>, file: Option<PathBuf>| {
            KeyOrigin::choose(variable.map(str::to_owned), file, own.clone()).name()
        };
        assert_eq!(chosen(Some("k"), Some(file.clone())), "environment");
        assert_eq!(chosen(Some(" "), Some(file)), "file");
        assert_eq!(chosen(None, None), "generated");
    }
}
