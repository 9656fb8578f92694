//! Reads what a patch says of a file before it says how its content changes.

use git2::Oid;

use super::super::RestoreError;
use super::input::Input;
use super::{path, refused};

/// What becomes of a file.
pub(super) struct Header {
    pub(super) path: Vec<u8>,
    /// None if there was none.
    pub(super) old_mode: Option<u32>,
    /// None if there is none any more.
    pub(super) new_mode: Option<u32>,
    /// Its contents; none if only its mode changes.
    pub(super) ids: Option<Ids>,
}

/// The contents of a file before and after, of which one that is not there is zero.
#[derive(Clone, Copy)]
pub(super) struct Ids {
    pub(super) old: Oid,
    pub(super) new: Oid,
}

impl Header {
    /// Reads the lines up to those that tell of the content.
    pub(super) fn read(input: &mut Input<'_>) -> Result<Self, RestoreError> {
        let path = path::of_header(input.line_after(b"diff --git ")?)?;
        let mut header = Self { path, old_mode: None, new_mode: None, ids: None };
        let is_change = input.is_next(b"old mode ")?;
        if is_change {
            header.old_mode = Some(mode(input.line_after(b"old mode ")?)?);
            header.new_mode = Some(mode(input.line_after(b"new mode ")?)?);
        } else if input.is_next(b"new file mode ")? {
            header.new_mode = Some(mode(input.line_after(b"new file mode ")?)?);
        } else if input.is_next(b"deleted file mode ")? {
            header.old_mode = Some(mode(input.line_after(b"deleted file mode ")?)?);
        }
        if input.is_next(b"index ")? {
            header.index(input.line_after(b"index ")?)?;
        } else if !is_change {
            return Err(refused("it does not say which content it changes"));
        }
        header.check()?;
        Ok(header)
    }

    /// Reads `old..new`, and the mode behind it if that stays as it is.
    fn index(&mut self, line: &[u8]) -> Result<(), RestoreError> {
        let mut words = line.splitn(2, |byte| *byte == b' ');
        let ids = words.next().unwrap_or_default();
        if let Some(same) = words.next() {
            if self.old_mode.is_some() || self.new_mode.is_some() {
                return Err(refused("it gives a file two modes"));
            }
            self.old_mode = Some(mode(same)?);
            self.new_mode = self.old_mode;
        }
        let (old, new) = std::str::from_utf8(ids)
            .ok()
            .and_then(|ids| ids.split_once(".."))
            .ok_or_else(|| refused("it does not say which content it changes"))?;
        // Where an id is cut short it is that of no content.
        let id = |text: &str| Oid::from_str(text).ok().filter(|_| text.len() == 40).unwrap_or(Oid::ZERO_SHA1);
        self.ids = Some(Ids { old: id(old), new: id(new) });
        Ok(())
    }

    fn check(&self) -> Result<(), RestoreError> {
        let is_sound = match (self.old_mode, self.new_mode) {
            // What becomes another kind of thing is removed first, and then made.
            (Some(old), Some(new)) => old == new || is_file(old) && is_file(new),
            (None, None) => false,
            _ => true,
        };
        if !is_sound {
            return Err(refused("the modes that it gives a file do not fit together"));
        }
        if self.new_mode == Some(LINK) && !path::may_be_link(&self.path) {
            return Err(refused("a link of this name is dangerous"));
        }
        Ok(())
    }
}

/// The mode of a symbolic link.
pub(super) const LINK: u32 = 0o120_000;
/// The mode of a submodule.
pub(in crate::workspace) const SUBMODULE: u32 = 0o160_000;

fn is_file(mode: u32) -> bool {
    matches!(mode, 0o100_644 | 0o100_755)
}

fn mode(digits: &[u8]) -> Result<u32, RestoreError> {
    match digits {
        b"100644" => Ok(0o100_644),
        b"100755" => Ok(0o100_755),
        b"120000" => Ok(LINK),
        b"160000" => Ok(SUBMODULE),
        _ => Err(refused("it gives a file a mode that git does not know")),
    }
}
