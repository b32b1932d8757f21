//! What `mainstem check` prints: every option that we use, its value, and where that comes from.
//!
//! API keys are cut to their first characters before they get here.

use std::fmt::Write;

use super::Loaded;
use super::diagnostic::Severity;
use super::options::Setting;

/// All settings, file by file and section by section, in the order of our tables.
pub fn settings(loaded: &Loaded) -> String {
    let mut text = String::new();
    for file in in_order(&loaded.settings, |setting| setting.belongs_to) {
        let of_file = loaded.settings.iter().filter(|setting| setting.belongs_to == file);
        let of_file: Vec<&Setting> = of_file.collect();
        let _ = writeln!(text, "{file}");
        for section in in_order(of_file.iter().copied(), |setting| setting.section.as_str()) {
            let _ = writeln!(text, "  [{section}]");
            for setting in of_file.iter().filter(|setting| setting.section == section) {
                let line = format!("    {} = {}", setting.name, setting.value);
                let _ = writeln!(text, "{line:<60}  {}", setting.origin);
            }
        }
    }
    text
}

/// The remarks, the gravest first, each on its line.
pub fn diagnostics(loaded: &Loaded) -> String {
    let mut text = String::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        for diagnostic in loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity) {
            let _ = writeln!(text, "{diagnostic}");
        }
    }
    text
}

/// Each name once, where it comes first.
fn in_order<'a>(
    settings: impl IntoIterator<Item = &'a Setting>,
    name_of: impl Fn(&'a Setting) -> &'a str,
) -> Vec<&'a str> {
    let mut names = Vec::new();
    for setting in settings {
        let name = name_of(setting);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_texts;
    use super::*;

    #[test]
    fn every_value_has_its_origin_and_keys_are_cut() {
        let key = "11111111-2222-3333-4444-555555555555";
        let stream = format!("[{key}]\nenabled = yes\nallow from = 10.*\nnonsense = 1\n");
        let loaded = load_texts("[db]\nmode = ram\n", &stream, "[runtime]\nshards = 2\n").expect("no errors");
        let (text, remarks) = (settings(&loaded), diagnostics(&loaded));
        #[track_caller]
        fn check(text: &str, start: &str, end: &str) {
            let found = text.lines().any(|line| line.trim().starts_with(start) && line.ends_with(end));
            assert!(found, "{start} ... {end} in\n{text}");
        }
        check(&text, "mode = ram", "  /conf/netdata.conf:2");
        check(&text, "update every = 1", "  default");
        check(&text, "allow from = 10.*", "  /conf/stream.conf:3");
        check(&text, "shards = 2", "  /conf/mainstem.toml:2");
        check(&text, "[11111111...]", "");
        assert!(remarks.contains("/conf/stream.conf:4: warning: "), "{remarks}");
        assert!(!text.contains(key) && !remarks.contains(key));
    }

    #[test]
    fn every_section_of_a_file_is_shown_once() {
        let loaded = load_texts("", "", "").expect("no errors");
        let text = settings(&loaded);
        let mut shown = Vec::new();
        let mut file = "";
        for line in text.lines() {
            match line.trim_start() {
                name if name == line => file = name,
                section if section.starts_with('[') => shown.push((file, section)),
                _ => {}
            }
        }
        for section in ["[db]", "[web]", "[directories]", "[registry]"] {
            assert!(shown.contains(&("netdata.conf", section)), "{section} in\n{text}");
        }
        assert!(shown.contains(&("mainstem.toml", "[limits]")), "{text}");
        let all = shown.len();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), all, "{text}");
    }
}
