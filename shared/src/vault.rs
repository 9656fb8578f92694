//! Seals secrets for the store, and opens them again: XChaCha20-Poly1305 with a random nonce for each value.
//!
//! The owner and the name are bound into every sealed value, so that a row that is put in another's place does not open.
//! Keys are named by a digest of theirs, so that one that was replaced still opens what it has sealed. No key is ever in
//! the store, in a log or in an error.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::{OwnerId, SecretValue};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// What a key's digest and sealed values are told from anything else by.
const KEY_ID_CONTEXT: &[u8] = b"makima secrets key id\0";
const VALUE_CONTEXT: &[u8] = b"makima secret v1\0";

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 32 bytes in base64 or in hexadecimal")]
pub struct MalformedKey;

/// Why a sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It was sealed with a key that is not at hand.
    #[error("it was sealed with another key than MAKIMA_SECRETS_KEY and MAKIMA_SECRETS_KEY_PREVIOUS")]
    UnknownKey,
    /// It is damaged, or not what its row says.
    #[error("it is damaged")]
    Damaged,
}

/// A value as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which key sealed it.
    pub key_id: String,
    /// What made this sealing different from all others.
    pub nonce: Vec<u8>,
    /// The value and its authentication tag.
    pub ciphertext: Vec<u8>,
}

/// The key that seals, and the one before it, which opens what it has sealed.
#[derive(Clone)]
pub struct Vault {
    current: Key,
    previous: Option<Key>,
}

/// Names the keys and shows neither.
impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { current, previous } = self;
        let previous = previous.as_ref().map(|key| &key.id);
        formatter.debug_struct("Vault").field("current", &current.id).field("previous", &previous).finish()
    }
}

#[derive(Clone)]
struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

impl Key {
    fn parse(text: &str) -> Result<Self, MalformedKey> {
        let bytes = decode(text.trim()).ok_or(MalformedKey)?;
        let mut digest = Sha256::new();
        digest.update(KEY_ID_CONTEXT);
        digest.update(bytes.as_slice());
        let id = digest.finalize()[..8].iter().fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
        let cipher = XChaCha20Poly1305::new_from_slice(&bytes).map_err(|_length| MalformedKey)?;
        Ok(Self { id, cipher })
    }
}

/// Reads a key: 64 hexadecimal digits, or base64 of either alphabet.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = if text.len() == 2 * KEY_BYTES {
        let digits =
            |at| text.get(at..at + 2).filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let pairs = (0..KEY_BYTES).map(|at| u8::from_str_radix(digits(2 * at)?, 16).ok());
        Zeroizing::new(pairs.collect::<Option<Vec<u8>>>()?)
    } else {
        let engines = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
        Zeroizing::new(engines.iter().find_map(|engine| engine.decode(text).ok())?)
    };
    (bytes.len() == KEY_BYTES).then_some(bytes)
}

impl Vault {
    /// Reads the keys; none without a current one.
    ///
    /// # Errors
    /// One of the two is no key.
    pub fn parse(current: &str, previous: Option<&str>) -> Result<Self, MalformedKey> {
        Ok(Self { current: Key::parse(current)?, previous: previous.map(Key::parse).transpose()? })
    }

    /// Makes a key, in base64.
    #[must_use]
    pub fn new_key() -> Zeroizing<String> {
        let bytes: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(rand::random());
        Zeroizing::new(STANDARD.encode(bytes.as_slice()))
    }

    /// Seals a value for the row of this owner and name.
    #[must_use]
    pub fn seal(&self, owner: OwnerId, name: &str, value: &SecretValue) -> SealedSecret {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let aad = associated_data(owner, name);
        let payload = Payload { msg: value.expose().as_bytes(), aad: &aad };
        // Fails for messages of over 256 GiB alone; an empty one opens nowhere.
        let ciphertext = self.current.cipher.encrypt(&nonce.into(), payload).unwrap_or_default();
        SealedSecret { key_id: self.current.id.clone(), nonce: nonce.to_vec(), ciphertext }
    }

    /// Opens what the row of this owner and name holds.
    ///
    /// # Errors
    /// The key is not at hand, or the row is not what it was.
    pub fn open(&self, owner: OwnerId, name: &str, sealed: &SealedSecret) -> Result<SecretValue, OpenError> {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        let key = keys.into_iter().find(|key| key.id == sealed.key_id).ok_or(OpenError::UnknownKey)?;
        let nonce: [u8; NONCE_BYTES] =
            sealed.nonce.as_slice().try_into().map_err(|_length| OpenError::Damaged)?;
        let aad = associated_data(owner, name);
        let payload = Payload { msg: &sealed.ciphertext, aad: &aad };
        let opened = key.cipher.decrypt(&nonce.into(), payload);
        let text = String::from_utf8(opened.map_err(|_forged| OpenError::Damaged)?);
        text.map(SecretValue::of_opened).map_err(|_no_text| OpenError::Damaged)
    }

    /// Tells whether a value was sealed with the key that seals now.
    #[must_use]
    pub fn is_current(&self, sealed: &SealedSecret) -> bool {
        sealed.key_id == self.current.id
    }
}

fn associated_data(owner: OwnerId, name: &str) -> Vec<u8> {
    [VALUE_CONTEXT, owner.uuid().as_bytes(), name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretValue {
        SecretValue::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_key_is_32_bytes_in_base64_or_hexadecimal() {
        let base64 = Vault::new_key();
        let bytes = STANDARD.decode(base64.as_str()).unwrap();
        let hex = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let sealed = Vault::parse(&base64, None).unwrap().seal(OwnerId::new(), "A", &value("12345678"));
        for text in
            [hex.clone(), hex.to_uppercase(), URL_SAFE_NO_PAD.encode(&bytes), format!(" {}\n", *base64)]
        {
            assert!(Vault::parse(&text, None).unwrap().is_current(&sealed), "{text}");
        }
        for text in ["", "secret", &hex[2..], &STANDARD.encode(&bytes[1..]), &"é".repeat(32)] {
            assert_eq!(Vault::parse(text, None).unwrap_err(), MalformedKey, "{text}");
            assert!(Vault::parse(&hex, Some(text)).is_err());
        }
    }

    #[test]
    fn what_was_sealed_opens_in_its_own_row_alone() {
        let (vault, owner) = (Vault::parse(&Vault::new_key(), None).unwrap(), OwnerId::new());
        let sealed = vault.seal(owner, "TOKEN", &value("12345678"));
        assert_eq!(vault.open(owner, "TOKEN", &sealed), Ok(value("12345678")));
        assert_eq!(vault.open(owner, "OTHER", &sealed), Err(OpenError::Damaged));
        assert_eq!(vault.open(OwnerId::new(), "TOKEN", &sealed), Err(OpenError::Damaged));
        for at in 0..sealed.ciphertext.len() {
            let mut forged = sealed.clone();
            forged.ciphertext[at] ^= 1;
            assert_eq!(vault.open(owner, "TOKEN", &forged), Err(OpenError::Damaged));
        }
        assert_ne!(vault.seal(owner, "TOKEN", &value("12345678")), sealed, "no nonce comes twice");
    }

    #[test]
    fn a_key_that_was_replaced_opens_what_it_sealed_and_seals_nothing() {
        let (old, new, owner) = (Vault::new_key(), Vault::new_key(), OwnerId::new());
        let sealed = Vault::parse(&old, None).unwrap().seal(owner, "TOKEN", &value("12345678"));
        let rotated = Vault::parse(&new, Some(&old)).unwrap();
        assert_eq!(rotated.open(owner, "TOKEN", &sealed), Ok(value("12345678")));
        assert!(!rotated.is_current(&sealed));
        let again = rotated.seal(owner, "TOKEN", &value("12345678"));
        let alone = Vault::parse(&new, None).unwrap();
        assert_eq!(alone.open(owner, "TOKEN", &again), Ok(value("12345678")));
        assert_eq!(alone.open(owner, "TOKEN", &sealed), Err(OpenError::UnknownKey));
        assert!(!format!("{rotated:?}").contains(&**old));
    }
}
