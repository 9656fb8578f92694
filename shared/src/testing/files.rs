//! Many files of text, the same in each run: what tests and measurements make large repositories of.

use std::fs;
use std::io;
use std::path::Path;

const FILES_PER_DIRECTORY: usize = 40;

/// Writes `count` files of about `bytes_per_file` each below a directory.
///
/// # Errors
/// A file or a directory cannot be made.
pub fn write(directory: &Path, count: usize, bytes_per_file: usize) -> io::Result<()> {
    let mut words = Words(0x9e37_79b9_7f4a_7c15);
    for number in 0..count {
        let file = directory.join(name(number));
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, words.text(bytes_per_file))?;
    }
    Ok(())
}

/// Returns the path of a file below the directory.
#[must_use]
pub fn name(number: usize) -> String {
    let directory = number / FILES_PER_DIRECTORY;
    format!("part-{:02}/module-{directory:04}/file-{number:05}.txt", directory % 16)
}

/// Words in no order.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        // xorshift64: G. Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (14), 2003.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 80);
        while text.len() < bytes {
            for _ in 0..8 {
                text += &format!("{:x} ", self.next() % 0xffff_ffff);
            }
            text.push('\n');
        }
        text
    }
}
