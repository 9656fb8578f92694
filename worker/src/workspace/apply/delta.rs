//! Applies a delta as it is unfolded: sizes, and then pieces of the base and pieces of its own (git's `patch-delta.c`).

use std::io::Write;

use super::super::RestoreError;
use super::super::patch_scan::number_in_delta as number;
use super::content::{Content, Spool};
use super::input::Input;
use super::{failed, refused};

/// An instruction that is not yet there as a whole, and the sizes in front, have fewer bytes.
const MAX_HELD: usize = 20;

/// A delta of which more is to come.
pub(super) struct Delta<'a> {
    base: &'a mut Content,
    made: &'a mut Spool,
    held: Vec<u8>,
    /// How large the file becomes, once that was read.
    made_bytes: Option<u64>,
    /// How much of what comes next is a piece of its own.
    own_bytes: usize,
}

impl<'a> Delta<'a> {
    pub(super) fn new(base: &'a mut Content, made: &'a mut Spool) -> Self {
        Self { base, made, held: Vec::with_capacity(MAX_HELD), made_bytes: None, own_bytes: 0 }
    }

    /// Goes on with the next piece of the delta.
    pub(super) fn push(&mut self, input: &mut Input<'_>, mut piece: &[u8]) -> Result<(), RestoreError> {
        while let Some((first, rest)) = piece.split_first() {
            if self.own_bytes > 0 {
                let (own, rest) = piece.split_at(self.own_bytes.min(piece.len()));
                self.add(own)?;
                self.own_bytes -= own.len();
                piece = rest;
                continue;
            }
            self.held.push(*first);
            piece = rest;
            if self.made_bytes.is_none() {
                self.sizes(input)?;
            } else {
                self.instruction()?;
            }
        }
        Ok(())
    }

    /// Checks that all came.
    pub(super) fn finish(self) -> Result<(), RestoreError> {
        let is_whole = self.held.is_empty() && self.own_bytes == 0;
        if is_whole && self.made_bytes == Some(self.made.length()) { Ok(()) } else { Err(broken()) }
    }

    /// Reads the sizes before and after, if they are there.
    fn sizes(&mut self, input: &mut Input<'_>) -> Result<(), RestoreError> {
        let mut held = self.held.iter().copied();
        let (Some(base), Some(made)) = (number(&mut held), number(&mut held)) else {
            return if self.held.len() < MAX_HELD { Ok(()) } else { Err(broken()) };
        };
        input.count_binary(made)?;
        if base != self.base.length() {
            return Err(refused("it does not fit the content that it changes"));
        }
        self.made_bytes = Some(made);
        self.held.clear();
        Ok(())
    }

    /// Does what an instruction says, if it is there as a whole.
    fn instruction(&mut self) -> Result<(), RestoreError> {
        let Some((code, arguments)) = self.held.split_first() else { return Ok(()) };
        if *code == 0 {
            return Err(broken());
        }
        if code & 0x80 == 0 {
            self.own_bytes = usize::from(*code);
            self.held.clear();
            return Ok(());
        }
        if arguments.len() < (code & 0x7f).count_ones() as usize {
            return Ok(());
        }
        let mut arguments = arguments.iter();
        // The bits of the code say which bytes of the place and of the size are there; the others are zero.
        let bytes: [u64; 7] = std::array::from_fn(|bit| {
            if code >> bit & 1 == 1 { arguments.next().map_or(0, |byte| u64::from(*byte)) } else { 0 }
        });
        let value = |bytes: &[u64]| bytes.iter().rev().fold(0, |value, byte| value << 8 | byte);
        let (from, count) = (value(&bytes[..4]), value(&bytes[4..]));
        self.held.clear();
        self.copy(from, if count == 0 { 0x1_0000 } else { count })
    }

    fn copy(&mut self, mut from: u64, count: u64) -> Result<(), RestoreError> {
        let mut left = usize::try_from(count).map_err(|_| broken())?;
        self.make_sure_of_room(left)?;
        while left > 0 {
            let piece = self.base.piece(from).map_err(failed)?;
            let piece = &piece[..piece.len().min(left)];
            if piece.is_empty() {
                return Err(broken());
            }
            self.made.write_all(piece).map_err(failed)?;
            from += piece.len() as u64;
            left -= piece.len();
        }
        Ok(())
    }

    fn add(&mut self, own: &[u8]) -> Result<(), RestoreError> {
        self.make_sure_of_room(own.len())?;
        self.made.write_all(own).map_err(failed)
    }

    /// Checks that no more is made than was said.
    fn make_sure_of_room(&self, bytes: usize) -> Result<(), RestoreError> {
        let made = self.made.length() + bytes as u64;
        if self.made_bytes.is_some_and(|limit| made <= limit) { Ok(()) } else { Err(broken()) }
    }
}

fn broken() -> RestoreError {
    refused("a delta in it is broken")
}
