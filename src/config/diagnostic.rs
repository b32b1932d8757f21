//! [`Diagnostic`]: something to say about a configuration file, with the place where it was found.
//!
//! An error keeps the parent from starting, a warning names what is probably a mistake, a note tells what a reader of
//! the file may want to know. Messages say what is there, what is made of it, and what to write instead; they never
//! hold an API key.

use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One remark, printed as `file:line: warning: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub file: PathBuf,
    /// Counted from 1; `None` when the remark is about the whole file, or about what is missing from it.
    pub line: Option<u32>,
    pub message: String,
}

impl Diagnostic {
    pub fn new(severity: Severity, file: &Path, line: Option<u32>, message: impl Into<String>) -> Self {
        Self { severity, file: file.to_path_buf(), line, message: message.into() }
    }

    /// For a log, whose lines have a severity of their own.
    pub fn without_severity(&self) -> String {
        let line = self.line.map_or_else(String::new, |line| format!("{line}:"));
        format!("{}:{line} {}", self.file.display(), self.message)
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}: {}", self.severity, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_reads_like_a_compilers() {
        let file = Path::new("/etc/netdata/netdata.conf");
        let with_line = Diagnostic::new(Severity::Warning, file, Some(7), "odd");
        assert_eq!(with_line.to_string(), "/etc/netdata/netdata.conf:7: warning: odd");
        assert_eq!(with_line.without_severity(), "/etc/netdata/netdata.conf:7: odd");
        let without = Diagnostic::new(Severity::Error, file, None, "bad");
        assert_eq!(without.to_string(), "/etc/netdata/netdata.conf: error: bad");
        assert!(without.is_error());
    }
}
