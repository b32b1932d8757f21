//! [`Ini`]: the dialect of netdata.conf and stream.conf as values that remember their lines. No I/O.
//!
//! ```text
//! file    = { line "\n" }
//! line    = blank | "#" anything | "[" section "]" | option "=" value
//! ```
//!
//! - White space is trimmed at both ends of a line, an option and a value; a section's name is taken as it stands.
//! - `#` comments only as the first character of a line. There are no quotes, no continuations, no includes.
//! - The first `=` splits; names are case sensitive; a section met again continues; of an option met again the last
//!   value counts.
//! - A line that is none of these is skipped with a warning. So is `[section] # comment`: it does not end in `]`, and
//!   the options below it stay in the section above.

use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Severity};

/// Netdata reads lines into a buffer of this size; what is longer it takes apart.
const LINE_MAX: usize = 8192;
/// Netdata's longest name of a section or an option.
const NAME_MAX: usize = 1024;

/// A file's sections in the order of their first lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ini {
    pub file: PathBuf,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    /// Where it was opened first.
    pub line: u32,
    pub entries: Vec<Entry>,
}

/// `name = value`, and the line that said so last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub value: String,
    pub line: u32,
}

impl Ini {
    /// A file that is not there.
    pub fn empty(file: &Path) -> Self {
        Self { file: file.to_path_buf(), sections: Vec::new() }
    }

    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub fn get(&self, section: &str, name: &str) -> Option<&Entry> {
        self.section(section)?.get(name)
    }
}

impl Section {
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

/// Reads a whole file. It always succeeds: what cannot be read is in the diagnostics.
pub fn parse(text: &str, file: &Path) -> (Ini, Vec<Diagnostic>) {
    let mut ini = Ini::empty(file);
    let mut diagnostics = Vec::new();
    let mut say = |severity: Severity, line: u32, message: String| {
        diagnostics.push(Diagnostic::new(severity, file, Some(line), message));
    };
    let mut current: Option<usize> = None;

    for (index, raw) in text.split('\n').enumerate() {
        let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
        if raw.len() > LINE_MAX {
            say(
                Severity::Warning,
                line,
                format!(
                    "this line has {} bytes; Netdata takes at most {LINE_MAX} and cuts the rest",
                    raw.len()
                ),
            );
        }
        let trimmed = trim(raw);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            if name.len() > NAME_MAX {
                say(
                    Severity::Warning,
                    line,
                    format!("a section's name has at most {NAME_MAX} bytes in Netdata"),
                );
            }
            current = Some(ini.open(name, line));
            continue;
        }
        let Some((name, value)) = trimmed.split_once('=') else {
            say(
                Severity::Warning,
                line,
                stray_line(trimmed, current.map(|at| ini.sections[at].name.as_str())),
            );
            continue;
        };
        let (name, value) = (trim(name), trim(value));
        if name.is_empty() {
            say(Severity::Warning, line, "there is no name before `=`; the line is ignored".to_owned());
            continue;
        }
        if name.len() > NAME_MAX {
            say(Severity::Warning, line, format!("an option's name has at most {NAME_MAX} bytes in Netdata"));
        }
        let Some(at) = current else {
            say(
                Severity::Warning,
                line,
                format!("`{name}` stands before any `[section]` and is ignored; move it below one"),
            );
            continue;
        };
        if let Some(before) = ini.sections[at].set(name, value, line) {
            say(
                Severity::Note,
                line,
                format!("`{name}` was set on line {before} already; this value counts"),
            );
        }
    }
    (ini, diagnostics)
}

impl Ini {
    fn open(&mut self, name: &str, line: u32) -> usize {
        if let Some(at) = self.sections.iter().position(|section| section.name == name) {
            return at;
        }
        self.sections.push(Section { name: name.to_owned(), line, entries: Vec::new() });
        self.sections.len() - 1
    }
}

impl Section {
    /// The line of the value that this one replaces, if there was one.
    fn set(&mut self, name: &str, value: &str, line: u32) -> Option<u32> {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.name == name) {
            value.clone_into(&mut entry.value);
            return Some(std::mem::replace(&mut entry.line, line));
        }
        self.entries.push(Entry { name: name.to_owned(), value: value.to_owned(), line });
        None
    }
}

/// What to say about a line that is neither section nor option.
fn stray_line(line: &str, section: Option<&str>) -> String {
    if !line.starts_with('[') {
        return "there is no `=` in this line, so it sets nothing; write `name = value`, or `#` before a comment"
            .to_owned();
    }
    // The section above may be named by an API key, so it is not quoted when it could be one.
    let stays = match section {
        Some(name) if name.len() < 36 => format!("the options below it stay in `[{name}]`"),
        Some(_) => "the options below it stay in the section above".to_owned(),
        None => "the options below it are in no section".to_owned(),
    };
    format!("a section's line must end in `]`; {stays}; give a comment a line of its own")
}

/// Both ends without what C calls white space.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Ini, Vec<Diagnostic>) {
        parse(text, Path::new("x.conf"))
    }

    #[test]
    fn the_dialect_by_example() {
        #[track_caller]
        fn check(text: &str, section: &str, name: &str, expected: Option<(&str, u32)>) {
            let (ini, _) = read(text);
            let found = ini.get(section, name).map(|entry| (entry.value.as_str(), entry.line));
            assert_eq!(found, expected, "{text:?}");
        }
        check("[s]\na = b", "s", "a", Some(("b", 2)));
        check("  [s]  \n\t a \t=  b c \t\r\n", "s", "a", Some(("b c", 2)));
        check("[s]\nf = value # x", "s", "f", Some(("value # x", 2)));
        check("[s]\n# f = value", "s", "f", None);
        check("[s]\n  # f = value", "s", "f", None);
        check("[s]\n;f = value", "s", ";f", Some(("value", 2)));
        check("[s]\nf = a=b=c", "s", "f", Some(("a=b=c", 2)));
        check("[s]\nf =", "s", "f", Some(("", 2)));
        check("[s]\nf = \"quoted\"", "s", "f", Some(("\"quoted\"", 2)));
        check("[ s ]\nf = 1", "s", "f", None);
        check("[ s ]\nf = 1", " s ", "f", Some(("1", 2)));
        check("[]\nf = 1", "", "f", Some(("1", 2)));
        check("[s]\nF = 1", "s", "f", None);
        check("[s]\nf = 1\n[t]\nf = 2\n[s]\nf = 3", "s", "f", Some(("3", 6)));
        check("[s]\n[t] # comment\nf = 1", "s", "f", Some(("1", 3)));
        check("[s]\nf 1", "s", "f 1", None);
        check("f = 1\n[s]", "s", "f", None);
        check("[s]\n= 1", "s", "", None);
    }

    #[test]
    fn what_is_skipped_is_said() {
        #[track_caller]
        fn check(text: &str, line: u32, expected: &str) {
            let (_, diagnostics) = read(text);
            assert_eq!(diagnostics.len(), 1, "{text:?}: {diagnostics:?}");
            assert_eq!(diagnostics[0].line, Some(line), "{text:?}");
            assert!(diagnostics[0].message.contains(expected), "{text:?}: {}", diagnostics[0].message);
        }
        check("[s]\n\n[t] # c\na = 1", 3, "stay in `[s]`");
        check("[s] # c", 1, "in no section");
        check("[s]\nword", 2, "no `=`");
        check("[s]\n= 1", 2, "no name");
        check("a = 1", 1, "before any");
        check("[s]\na = 1\na = 2", 3, "set on line 2");
        check(&format!("[s]\na = {}", "x".repeat(9000)), 2, "9004 bytes");
        let (_, none) = read("# all is well\n[s]\n\ta = 1\n\n[s]\n");
        assert!(none.is_empty(), "{none:?}");
    }

    #[test]
    fn a_section_met_again_continues() {
        let (ini, _) = read("[a]\nx = 1\n[b]\n[a]\ny = 2\n");
        assert_eq!(ini.sections.len(), 2);
        assert_eq!(ini.section("a").map(|section| section.entries.len()), Some(2));
    }
}
