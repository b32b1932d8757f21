//! Files of the kernel, read again and again into one buffer, and their words.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};

/// What most files fit in; others make it grow, once.
const BUFFER: usize = 16 * 1024;
/// No file of the kernel that we read is longer: interrupts of a machine with a thousand cores are 2 MiB.
const LONGEST: usize = 8 * 1024 * 1024;

/// A file that stays open: the kernel writes its text anew when it is read from its beginning.
pub(super) struct Text {
    path: PathBuf,
    file: Option<File>,
}

impl Text {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }
}

/// Reads files below one root, into one buffer.
pub(super) struct Reader {
    root: PathBuf,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, buffer: vec![0; BUFFER] }
    }

    /// A path of the machine, below the root.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn open(&self, path: &str) -> Text {
        Text::new(self.path(path))
    }

    /// The file's text of now. A file that is not there may come later; one that fails is opened again.
    pub(super) fn read(&mut self, text: &mut Text) -> Option<&[u8]> {
        if text.file.is_none() {
            text.file = File::open(&text.path).ok();
        }
        match fill(&mut self.buffer, text.file.as_ref()?) {
            Ok(length) => Some(&self.buffer[..length]),
            Err(_) => {
                text.file = None;
                None
            }
        }
    }

    /// The text of a file that is not worth keeping open.
    pub(super) fn read_once(&mut self, path: &Path) -> Option<&[u8]> {
        let length = fill(&mut self.buffer, &File::open(path).ok()?).ok()?;
        Some(&self.buffer[..length])
    }

    /// The text of a file of a directory that is open, which the kernel writes at one stroke: what does not fill the buffer is
    /// all of it. Where many directories lie deep, finding their files by their paths costs more than reading them.
    pub(super) fn read_in(&mut self, directory: &OwnedFd, name: &str) -> Option<&[u8]> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = File::from(openat(directory, name, flags, Mode::empty()).ok()?);
        let mut length = 0;
        loop {
            length += file.read_at(&mut self.buffer[length..], length as u64).ok()?;
            if length < self.buffer.len() || length >= LONGEST {
                return Some(&self.buffer[..length]);
            }
            self.buffer.resize(2 * length, 0);
        }
    }

    /// The one number that is a file's text.
    pub(super) fn read_number(&mut self, text: &mut Text) -> Option<u64> {
        number(words(self.read(text)?).next()?)
    }
}

/// Reads a file from its beginning to its end; the buffer grows if it must.
fn fill(buffer: &mut Vec<u8>, file: &File) -> io::Result<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            if length >= LONGEST {
                return Ok(length);
            }
            buffer.resize(2 * length, 0);
        }
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => return Ok(length),
            more => length += more,
        }
    }
}

/// Lines without their ends.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// Words between spaces.
pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

/// The number at the beginning of a word; `None` if there is none, the largest one if it does not fit.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    if !word.first()?.is_ascii_digit() {
        return None;
    }
    Some(digits.fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// A number that may be below zero.
pub(super) fn signed(word: &[u8]) -> Option<i64> {
    match word.strip_prefix(b"-") {
        Some(rest) => number(rest).map(|number| 0i64.saturating_sub_unsigned(number)),
        None => number(word).map(|number| i64::try_from(number).unwrap_or(i64::MAX)),
    }
}

/// A number with decimals, in units of 10^-`decimals`: `1.25` is 125 with two. More decimals are cut.
pub(super) fn decimal(word: &[u8], decimals: usize) -> Option<u64> {
    let mut value = number(word)?;
    let fraction = word.iter().skip_while(|byte| **byte != b'.').skip(1);
    let digits = fraction.take_while(|byte| byte.is_ascii_digit()).map(|digit| u64::from(digit - b'0'));
    for digit in digits.chain(std::iter::repeat(0)).take(decimals) {
        value = value.saturating_mul(10).saturating_add(digit);
    }
    Some(value)
}

/// Text as it is shown: what is no UTF-8 is replaced.
pub(super) fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// A number in hexadecimal digits.
pub(super) fn hexadecimal(word: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()
}
