//! [`Role`]: what a configuration makes of this program, and what does not fit that.
//!
//! | | children come | rows are kept | hosts are sent on |
//! |---|---|---|---|
//! | central parent | yes | yes | |
//! | proxy with a database | yes | yes | yes |
//! | headless proxy | yes | | yes |
//! | child with a database | | yes | yes |
//! | headless collector | | | yes |
//! | host on its own | | yes | |
//!
//! Source: the overview "Supported configurations" and "Streaming configuration" of Netdata's streaming document.

use std::fmt;

use super::ini::Ini;
use super::netdata_conf::NetdataConf;
use super::options::Findings;
use super::{Config, Database, Diagnostic, MemoryMode, Severity, Streaming, value};

/// What a configuration makes of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    CentralParent,
    ProxyWithDatabase,
    HeadlessProxy,
    ChildWithDatabase,
    HeadlessCollector,
    /// It collects, and keeps that.
    Standalone,
    /// Nothing is kept, and nothing is sent on.
    Sink,
}

impl Role {
    fn of(receives: bool, keeps: bool, sends: bool) -> Self {
        match (receives, keeps, sends) {
            (true, true, false) => Self::CentralParent,
            (true, true, true) => Self::ProxyWithDatabase,
            (true, false, true) => Self::HeadlessProxy,
            (false, true, true) => Self::ChildWithDatabase,
            (false, false, true) => Self::HeadlessCollector,
            (false, true, false) => Self::Standalone,
            (_, false, false) => Self::Sink,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CentralParent => "central parent",
            Self::ProxyWithDatabase => "proxy with a database",
            Self::HeadlessProxy => "headless proxy",
            Self::ChildWithDatabase => "child with a database",
            Self::HeadlessCollector => "headless collector",
            Self::Standalone => "host on its own",
            Self::Sink => "parent that keeps nothing and sends nothing on",
        })
    }
}

impl Config {
    /// What this configuration makes of this program.
    pub fn role(&self) -> Role {
        Role::of(
            self.streaming.lets_someone_in(),
            keeps_rows(&self.database, &self.streaming),
            sends_on(&self.streaming),
        )
    }
}

/// Of our own host, or of any child that is let in.
fn keeps_rows(database: &Database, streaming: &Streaming) -> bool {
    let modes = streaming.sections.iter().filter_map(|section| section.options.memory_mode);
    modes
        .chain([streaming.all.memory_mode.unwrap_or(database.mode), database.mode])
        .any(|mode| mode != MemoryMode::None)
}

fn sends_on(streaming: &Streaming) -> bool {
    let sections = streaming.sections.iter().map(|section| &section.options);
    sections.chain([&streaming.all]).any(|options| options.sending.enabled == Some(true))
}

/// Says what is asked for and cannot be done: an error each.
pub(super) fn check(netdata: &Ini, conf: &NetdataConf, streaming: &Streaming, findings: &mut Findings) {
    let keeps = keeps_rows(&conf.database, streaming);
    let mut refuse = |section: &str, name: &str, message: String| {
        let line = netdata.get(section, name).map(|entry| entry.line);
        findings.diagnostics.push(Diagnostic::new(Severity::Error, &netdata.file, line, message));
    };
    let is_yes = |text: &str| value::boolean(text).value == Some(true);
    if !keeps && netdata.get("health", "enabled").is_some_and(|entry| is_yes(&entry.value)) {
        let message = "`[health] enabled = yes`: alerts are calculated from rows, and `[db] mode = none` keeps none; \
                       leave alerts to the parent behind, or keep rows with another mode";
        refuse("health", "enabled", message.to_owned());
    }
    let bind = netdata.get("web", "bind to").map_or("", |entry| &entry.value);
    if !keeps
        && bind
            .split_whitespace()
            .any(|port| port.split_once('=').is_some_and(|(_, rights)| rights.contains("dashboard")))
    {
        let message = "`[web] bind to`: a dashboard shows rows, and `[db] mode = none` keeps none; take the right \
                       `dashboard` from this port, or keep rows with another mode";
        refuse("web", "bind to", message.to_owned());
    }
    let is_shut = netdata.get("web", "mode").is_some_and(|entry| entry.value == "none");
    if is_shut && streaming.lets_someone_in() {
        let message = "`[web] mode = none` opens no port, and stream.conf has an API key for children, who need one; \
                       take the key out, or open a port";
        refuse("web", "mode", message.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_texts;
    use super::*;

    const KEY: &str = "[11111111-2222-3333-4444-555555555555]\nenabled = yes\n";
    const SEND: &str =
        "[stream]\nenabled = yes\ndestination = a\napi key = 11111111-2222-3333-4444-555555555556\n";
    const NONE: &str = "[db]\nmode = none\n";
    const SHUT: &str = "[web]\nmode = none\n";

    #[track_caller]
    fn check(netdata: &str, stream: &str, expected: Role) {
        let loaded = load_texts(netdata, stream, "").expect("no errors");
        assert_eq!(loaded.config.role(), expected);
    }

    #[test]
    fn a_configuration_has_a_role() {
        check("", KEY, Role::CentralParent);
        check("", &format!("{KEY}{SEND}"), Role::ProxyWithDatabase);
        check(NONE, &format!("{KEY}{SEND}"), Role::HeadlessProxy);
        check("", SEND, Role::ChildWithDatabase);
        check(&format!("{NONE}{SHUT}"), SEND, Role::HeadlessCollector);
        check("", "", Role::Standalone);
        check(NONE, KEY, Role::Sink);
        // Children's rows are kept, whatever becomes of our own.
        check(NONE, &format!("{KEY}default memory mode = ram\n{SEND}"), Role::ProxyWithDatabase);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_line() {
        #[track_caller]
        fn check(netdata: &str, stream: &str, expected: &str) {
            let said = load_texts(netdata, stream, "").expect_err("an error");
            let errors: Vec<String> =
                said.iter().filter(|said| said.is_error()).map(ToString::to_string).collect();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].contains(expected), "{errors:?}");
        }
        check(
            &format!("{NONE}[health]\nenabled = yes\n"),
            SEND,
            "netdata.conf:4: error: `[health] enabled = yes`",
        );
        check(
            &format!("{NONE}[web]\nbind to = *=dashboard\n"),
            SEND,
            "netdata.conf:4: error: `[web] bind to`",
        );
        check(SHUT, KEY, "netdata.conf:2: error: `[web] mode = none` opens no port");
    }
}
