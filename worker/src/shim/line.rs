//! Lines, which is all that goes over the sockets between worker, shim and second stage.

use std::io::{self, BufRead, Read as _};

/// Reads the next line, without its end. Fails if the input is over before the line is, or the line is longer than
/// `limit` bytes.
pub(crate) fn read_line(input: &mut impl BufRead, limit: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    input.take(room).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() >= limit => Err(io::ErrorKind::FileTooLarge.into()),
        Some(_) | None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_only_whole() {
        let mut input = &b"one\n\nrest"[..];
        assert_eq!(read_line(&mut input, 3).unwrap(), b"one");
        assert_eq!(read_line(&mut input, 3).unwrap(), b"");
        assert_eq!(read_line(&mut input, 9).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read_line(&mut input, 9).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert_eq!(read_line(&mut endless, 1_000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
