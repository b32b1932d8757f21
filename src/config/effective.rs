//! [`Effective`]: the netdata.conf in force, in the words of such a file: what `/netdata.conf` shows.

use std::fmt;

use super::options::{Origin, Setting};

/// The settings of netdata.conf, each once, in the order of our table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective(Vec<Setting>);

impl Effective {
    pub(super) fn of(settings: &[Setting]) -> Effective {
        let is_ours = |setting: &&Setting| setting.belongs_to == "netdata.conf";
        Effective(settings.iter().filter(is_ours).cloned().collect())
    }

    /// These settings, with the newer values of those that were taken over.
    pub(super) fn with_reloaded(
        &self,
        newer: &Effective,
        is_taken_over: impl Fn(&Setting) -> bool,
    ) -> Effective {
        let same = |a: &Setting, b: &Setting| (&a.section, &a.name) == (&b.section, &b.name);
        let settings = self.0.iter().map(|setting| {
            let found =
                newer.0.iter().find(|newer| same(newer, setting)).filter(|newer| is_taken_over(newer));
            found.unwrap_or(setting).clone()
        });
        Effective(settings.collect())
    }
}

/// A file that could be used as it is. What is as it comes is a comment.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# The configuration in force. Lines that begin with # are options that no file sets, with their defaults;\n\
             # `mainstem check` says of each value where it comes from."
        )?;
        let mut sections: Vec<&str> = Vec::new();
        for setting in &self.0 {
            if !sections.contains(&setting.section.as_str()) {
                sections.push(&setting.section);
            }
        }
        for section in sections {
            writeln!(f, "\n[{section}]")?;
            for setting in self.0.iter().filter(|setting| setting.section == section) {
                let mark = if setting.origin == Origin::Default { "# " } else { "" };
                writeln!(f, "    {mark}{} = {}", setting.name, setting.value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_texts;

    #[test]
    fn what_is_shown_reads_as_what_is_in_force() {
        let netdata = "[web]\nbind to = 127.0.0.1:1\nallow badges from = 10.*\n[db]\nmode = ram\n";
        let config = load_texts(netdata, "", "").expect("no errors").config;
        let text = config.effective.to_string();
        for line in
            ["[web]", "    bind to = 127.0.0.1:1", "    allow badges from = 10.*", "    # retention = 3600"]
        {
            assert_eq!(text.lines().filter(|shown| *shown == line).count(), 1, "{line} in\n{text}");
        }
        let again = load_texts(&text, "", "").expect("it can be read").config;
        assert_eq!((&again.web, &again.database), (&config.web, &config.database));
    }

    #[test]
    fn a_reload_shows_in_what_it_took_over_alone() {
        let started = load_texts("", "", "").expect("no errors").config;
        let newer =
            load_texts("[web]\nallow badges from = 10.*\n[db]\nmode = ram\n", "", "").expect("no errors");
        let text = started.with_reloaded(newer.config).effective.to_string();
        assert!(
            text.contains("    allow badges from = 10.*\n") && text.contains("    # db = dbengine\n"),
            "{text}"
        );
    }
}
