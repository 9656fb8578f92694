//! The secrets of one attempt: what the agent finds in its environment, and what keeps them out of all that is stored.
//!
//! A secret is known in the forms in which agents commonly write it ([`forms`]): as it is, inside of JSON, in base64.
//! What an agent writes is scrubbed before anything else reads it ([`ScrubbedReader`]); files and commits that hold one
//! are left out of checkpoints and results.
//!
//! Left out, because it cannot be had: forms that an agent makes up, such as a value that is reversed, split over lines or
//! compressed. An agent that is given a secret can tell it.

mod forms;
mod reader;

use std::fmt;
use std::io;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use makima_shared::domain::SecretValue;

pub use reader::ScrubbedReader;

/// How much the values of one task may have together, in bytes: all their forms are held to look for them.
const MAX_TOTAL_BYTES: usize = 64 * 1024;

/// How much is copied at once.
const COPY_BYTES: usize = 256 * 1024;

/// A secret that an agent gets.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The variable that it is in.
    pub env: String,
    /// What it is called.
    pub name: String,
    /// Its value.
    pub value: SecretValue,
}

/// The values of a task are too large to be looked for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the task's secrets have more than {} KiB together", MAX_TOTAL_BYTES / 1024)]
pub struct TooLarge;

/// The secrets of one attempt. Clones share them.
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<Known>>);

struct Known {
    secrets: Vec<Secret>,
    /// Forms without a line's end, for what is read line by line.
    lines: Forms,
    /// Forms of whole values.
    wholes: Forms,
}

/// Shows the names alone.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets = self.0.iter().flat_map(|known| &known.secrets);
        formatter.debug_list().entries(secrets.map(|secret| &secret.name)).finish()
    }
}

/// What to look for, and whose it is.
struct Forms {
    finder: AhoCorasick,
    /// For each form the place of its secret.
    owners: Vec<usize>,
    longest: usize,
}

impl Forms {
    fn of(forms: Vec<(usize, Vec<u8>)>) -> Result<Self, TooLarge> {
        let (owners, texts): (Vec<_>, Vec<_>) = forms.into_iter().unzip();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .map_err(|_too_many| TooLarge)?;
        Ok(Self { finder, owners, longest: texts.iter().map(Vec::len).max().unwrap_or_default() })
    }
}

impl Secrets {
    /// Learns in which forms the secrets are to be looked for.
    ///
    /// # Errors
    /// They are too large for that.
    pub fn new(secrets: Vec<Secret>) -> Result<Self, TooLarge> {
        if secrets.is_empty() {
            return Ok(Self::default());
        }
        if secrets.iter().map(|secret| secret.value.expose().len()).sum::<usize>() > MAX_TOTAL_BYTES {
            return Err(TooLarge);
        }
        let all = |forms: fn(&str) -> Vec<Vec<u8>>| {
            let of_secret = |(place, secret): (usize, &Secret)| {
                forms(secret.value.expose()).into_iter().map(move |form| (place, form)).collect::<Vec<_>>()
            };
            Forms::of(secrets.iter().enumerate().flat_map(of_secret).collect())
        };
        let (lines, wholes) = (all(forms::of_lines)?, all(forms::of_whole)?);
        Ok(Self(Some(Arc::new(Known { secrets, lines, wholes }))))
    }

    /// Returns the variables that the agent gets.
    pub(crate) fn env(&self) -> impl Iterator<Item = (String, String)> {
        let secrets = self.0.iter().flat_map(|known| &known.secrets);
        secrets.map(|secret| (secret.env.clone(), secret.value.expose().to_owned()))
    }

    /// Returns the name of a secret that `content` holds.
    #[must_use]
    pub fn find_in(&self, content: &[u8]) -> Option<&str> {
        let known = self.0.as_deref()?;
        let found = known.wholes.finder.find(content)?;
        known.name(&known.wholes, found.pattern().as_usize())
    }

    /// Begins to look through something that comes in pieces.
    #[must_use]
    pub fn watch(&self) -> Watch<'_> {
        Watch { secrets: self, tail: Vec::new() }
    }

    /// Copies everything, up to a secret: then returns its name, and what was copied is of no use.
    pub(crate) fn copy(&self, from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<Option<&str>> {
        let mut watch = self.watch();
        let mut room = vec![0; COPY_BYTES];
        loop {
            let count = match from.read(&mut room) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if let Some(name) = watch.see(&room[..count]) {
                return Ok(Some(name));
            }
            to.write_all(&room[..count])?;
        }
    }

    /// Puts names in the place of secrets.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.scrub_bytes(text.as_bytes())).into_owned()
    }

    /// The same for what may be no text.
    pub(crate) fn scrub_bytes(&self, content: &[u8]) -> Vec<u8> {
        let mut scrubbed = Vec::with_capacity(content.len());
        self.scrub_up_to(content, content.len(), &mut scrubbed);
        scrubbed
    }

    /// Returns a reader of the same, scrubbed line by line.
    pub fn reader<R>(&self, inner: R) -> ScrubbedReader<R> {
        ScrubbedReader::new(self.clone(), inner)
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The length of the longest form that a line may hold.
    fn longest(&self) -> usize {
        self.0.as_deref().map_or(0, |known| known.lines.longest)
    }

    /// Scrubs what of `text` begins before `limit`, and returns how much of it that was: a form that begins there is taken
    /// whole.
    fn scrub_up_to(&self, text: &[u8], limit: usize, scrubbed: &mut Vec<u8>) -> usize {
        let mut at = 0;
        if let Some(known) = self.0.as_deref() {
            while let Some(found) = known.lines.finder.find(Input::new(text).range(at..)) {
                if found.start() >= limit {
                    break;
                }
                scrubbed.extend_from_slice(&text[at..found.start()]);
                let name = known.name(&known.lines, found.pattern().as_usize());
                scrubbed.extend_from_slice(format!("[secret {}]", name.unwrap_or_default()).as_bytes());
                at = found.end();
            }
        }
        let end = at.max(limit);
        scrubbed.extend_from_slice(&text[at..end]);
        end
    }
}

impl Known {
    fn name(&self, forms: &Forms, form: usize) -> Option<&str> {
        Some(&self.secrets.get(*forms.owners.get(form)?)?.name)
    }
}

/// Looks for secrets in something that comes in pieces.
pub struct Watch<'a> {
    secrets: &'a Secrets,
    /// The end of the pieces so far, in which a form may have begun.
    tail: Vec<u8>,
}

impl<'a> Watch<'a> {
    /// Looks at the next piece, and returns the name of a secret that ends in it.
    pub fn see(&mut self, piece: &[u8]) -> Option<&'a str> {
        let known = self.secrets.0.as_deref()?;
        self.tail.extend_from_slice(piece);
        let found = self.secrets.find_in(&self.tail);
        let kept = self.tail.len().min(known.wholes.longest.saturating_sub(1));
        self.tail.drain(..self.tail.len() - kept);
        found
    }
}

#[cfg(test)]
mod tests;
