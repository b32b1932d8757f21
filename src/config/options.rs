//! [`Options`]: a file's values looked up by the table of the options we know, with everything worth a remark said once:
//! old names, unknown names, values that cannot be read; and every value that counts recorded with its origin.

use std::fmt;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Severity};
use super::ini::{Entry, Ini, Section};
use super::nearest::suggestion;
use super::value::Reading;

/// An option that we use. Its names are those of Netdata, all of them.
#[derive(Debug)]
pub(crate) struct Known {
    pub section: &'static str,
    /// What it is called from the 1.35 sections on, the newest name first: that one wins, and is its name here.
    pub names: &'static [&'static str],
    /// Where it was before, as (section, name): still read, with a hint.
    pub old: &'static [(&'static str, &'static str)],
    /// In the words of the file; empty where it depends on the machine or on another option.
    pub default: &'static str,
}

/// An option that Netdata has and we do nothing with. A `#` in a name stands for a number.
pub(crate) struct Unused {
    pub section: &'static str,
    pub names: &'static [&'static str],
}

/// A value that counts, for `mainstem check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The kind of file it belongs to: `netdata.conf`, `stream.conf`, `mainstem.toml`.
    pub belongs_to: &'static str,
    /// API keys are cut to their first characters.
    pub section: String,
    pub name: String,
    pub value: String,
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    CommandLine,
    File { file: PathBuf, line: u32 },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::CommandLine => f.write_str("command line"),
            Origin::File { file, line } => write!(f, "{}:{line}", file.display()),
        }
    }
}

/// What reading the files brought up besides their meaning.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub diagnostics: Vec<Diagnostic>,
    pub settings: Vec<Setting>,
}

impl Findings {
    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// One file under its table.
pub(crate) struct Options<'a> {
    pub ini: &'a Ini,
    belongs_to: &'static str,
    table: &'static [Known],
    findings: &'a mut Findings,
}

impl<'a> Options<'a> {
    pub(crate) fn new(
        ini: &'a Ini,
        belongs_to: &'static str,
        table: &'static [Known],
        findings: &'a mut Findings,
    ) -> Self {
        Self { ini, belongs_to, table, findings }
    }

    /// The value of an option of the table, or its default.
    pub(crate) fn read<T>(
        &mut self,
        section: &'static str,
        name: &str,
        read: impl Fn(&str) -> Reading<T>,
    ) -> T {
        self.read_or(section, name, self.known(section, name).default, read)
    }

    /// The same for an option whose default is not in the table.
    pub(crate) fn read_or<T>(
        &mut self,
        section: &'static str,
        name: &str,
        default: &str,
        read: impl Fn(&str) -> Reading<T>,
    ) -> T {
        let known = self.known(section, name);
        if let Some(entry) = self.find(known)
            && let Some(value) = self.value_of(known, section, entry, &read)
        {
            return value;
        }
        self.record(known.section.to_owned(), known.names[0].to_owned(), default.to_owned(), Origin::Default);
        read(default).value.expect("a default is readable by its own reader")
    }

    /// The value of an option in one of several sections that share the rows of `table_section`; nothing when it is
    /// not set there.
    pub(crate) fn read_in<T>(
        &mut self,
        table_section: &'static str,
        section: &'a Section,
        name: &str,
        read: impl Fn(&str) -> Reading<T>,
    ) -> Option<T> {
        let known = self.known(table_section, name);
        let entry = known.names.iter().find_map(|name| section.get(name))?;
        let shown = self.shown_section(&section.name);
        self.value_of(known, &shown, entry, &read)
    }

    /// Whether the table has an option of this name.
    pub(crate) fn is_known(&self, section: &str, name: &str) -> bool {
        self.table.iter().any(|known| known.section == section && known.names.contains(&name))
    }

    pub(crate) fn say(&mut self, severity: Severity, line: Option<u32>, message: impl Into<String>) {
        self.findings.diagnostics.push(Diagnostic::new(severity, &self.ini.file, line, message));
    }

    /// Says what is set and not known, and once for each option what is known and not used.
    pub(crate) fn check_names(&mut self, table_section: &str, section: &Section, unused: &[Unused]) {
        let table: &'static [Known] = self.table;
        let used = table.iter().filter(|known| known.section == table_section);
        let old = table.iter().flat_map(|known| known.old).filter(|(old, _)| *old == table_section);
        let names: Vec<&'static str> =
            used.flat_map(|known| known.names.iter().copied()).chain(old.map(|(_, name)| *name)).collect();
        let unused_names: Vec<&'static str> = unused
            .iter()
            .filter(|unused| unused.section == table_section)
            .flat_map(|unused| unused.names.iter().copied())
            .collect();
        let shown = self.shown_section(&section.name);
        for entry in &section.entries {
            if names.contains(&entry.name.as_str()) {
                continue;
            }
            if unused_names.iter().any(|known| same_name(known, &entry.name)) {
                let message = format!("`[{shown}] {}` is not used by this version", entry.name);
                self.say(Severity::Note, Some(entry.line), message);
                continue;
            }
            let mut hint = suggestion(&entry.name, names.iter().chain(&unused_names).copied());
            if hint.is_empty()
                && let Some(other) = table.iter().find(|known| known.names.contains(&entry.name.as_str()))
            {
                hint = format!("; `[{}]` has an option of this name", other.section);
            }
            let message = format!("there is no option `{}` in `[{shown}]`, it is ignored{hint}", entry.name);
            self.say(Severity::Warning, Some(entry.line), message);
        }
    }

    pub(crate) fn record(&mut self, section: String, name: String, value: String, origin: Origin) {
        let belongs_to = self.belongs_to;
        let value = if name.ends_with("api key") { redacted(&value) } else { value };
        self.findings.settings.push(Setting { belongs_to, section, name, value, origin });
    }

    /// Reads an entry, says what is odd about it, records it.
    fn value_of<T>(
        &mut self,
        known: &Known,
        shown: &str,
        entry: &Entry,
        read: impl Fn(&str) -> Reading<T>,
    ) -> Option<T> {
        // An entry that was found under its old name is shown under the one that it moved to.
        let moved = !known.names.contains(&entry.name.as_str());
        let name = if moved { known.names[0] } else { entry.name.as_str() };
        let reading = read(&entry.value);
        if let Some((severity, complaint)) = reading.complaint {
            let without = match (&reading.value, severity) {
                (Some(_), _) | (None, Severity::Error) => "",
                (None, _) if shown == known.section => "; the default is used",
                (None, _) => "; it counts as not set",
            };
            let message = format!("`[{shown}] {name}`: {complaint}{without}");
            self.say(severity, Some(entry.line), message);
        }
        if reading.value.is_some() {
            let origin = Origin::File { file: self.ini.file.clone(), line: entry.line };
            self.record(shown.to_owned(), name.to_owned(), entry.value.clone(), origin);
        }
        reading.value
    }

    /// The entry that counts: the newest name that is set, else an old one, with a hint.
    fn find(&mut self, known: &'static Known) -> Option<&'a Entry> {
        let ini = self.ini;
        let mut found = known.names.iter().find_map(|name| ini.get(known.section, name));
        for &(section, name) in known.old {
            let Some(old) = ini.get(section, name) else { continue };
            let now = format!("`[{}] {}`", known.section, known.names[0]);
            let message = match found {
                None => format!("`[{section}] {name}` is the old name of {now}; it is read as that"),
                Some(entry) => format!(
                    "`[{section}] {name}` is the old name of {now} and is ignored, because line {} sets that",
                    entry.line
                ),
            };
            self.say(Severity::Note, Some(old.line), message);
            found = found.or(Some(old));
        }
        found
    }

    fn known(&self, section: &str, name: &str) -> &'static Known {
        let table: &'static [Known] = self.table;
        table
            .iter()
            .find(|known| known.section == section && known.names[0] == name)
            .unwrap_or_else(|| panic!("`[{section}] {name}` is not in the table of {}", self.belongs_to))
    }

    fn shown_section(&self, name: &str) -> String {
        if is_uuid(name) { redacted(name) } else { name.to_owned() }
    }
}

/// Equal, where a `#` of `known` stands for one or more digits.
fn same_name(known: &str, name: &str) -> bool {
    match known.split_once('#') {
        None => known == name,
        Some((before, behind)) => name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(behind))
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

/// Whether a text has the form of an API key or a machine GUID: 36 characters, dashes in their places, any case.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// An API key as it may be shown: its first 8 characters, of a short one that is none fewer. No key is nothing.
pub fn redacted(key: &str) -> String {
    if key.is_empty() {
        return String::new();
    }
    let shown = (key.chars().count() / 4).min(8);
    format!("{}...", key.chars().take(shown).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names() {
        assert!(same_name("dbengine tier # backfill", "dbengine tier 12 backfill"));
        assert!(!same_name("dbengine tier # backfill", "dbengine tier  backfill"));
        assert!(!same_name("dbengine tier # backfill", "dbengine tier one backfill"));
        assert!(same_name("mode", "mode"));
        assert!(!same_name("mode", "Mode"));
    }

    #[test]
    fn uuids_have_one_form() {
        assert!(is_uuid("11111111-2222-3333-4444-555555555555"));
        assert!(is_uuid("AAAAAAAA-2222-3333-4444-55555555555a"));
        for text in
            ["", "API_KEY", "11111111222233334444555555555555", "11111111-2222-3333-4444-55555555555g"]
        {
            assert!(!is_uuid(text), "{text}");
        }
        assert_eq!(redacted("11111111-2222-3333-4444-555555555555"), "11111111...");
        assert_eq!(redacted("secret"), "s...");
        assert_eq!(redacted(""), "");
    }
}
