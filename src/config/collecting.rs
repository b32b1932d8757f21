//! [`Collecting`]: what is collected of our own host: our own figures, what the system says of itself, and plugins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::Surroundings;
use super::diagnostic::Severity;
use super::ini::Section;
use super::options::{Options, Origin};
use super::value::{self, Reading};

/// Slower than this no collector is.
const UPDATE_EVERY_MAX: i64 = 86_400;
/// Directories that Netdata looks into.
const MOST_DIRECTORIES: usize = 20;
/// What Netdata appends to the `PATH` of plugins.
const MORE_PATH: &str = ":/sbin:/usr/sbin:/usr/local/bin:/usr/local/sbin";
/// Collectors that Netdata has built in and we have not.
const NOT_BUILT_IN: [&str; 5] = ["timex", "idlejitter", "tc", "statsd", "checks"];
/// A plugin that Netdata runs only if it is named: it needs privileges and says little.
const ONLY_IF_NAMED: &str = "slabinfo";

/// What is collected of our own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collecting {
    /// Seconds between collections of our own figures; `None`: they are not collected.
    pub own_figures_every_s: Option<u32>,
    pub linux: LinuxParts,
    pub plugins: Plugins,
}

/// What the built-in collector of the system looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinuxParts {
    pub proc: bool,
    pub diskspace: bool,
    pub cgroups: bool,
}

/// Programs that collect, and how they are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugins {
    /// Where they are looked for; of two with one name the first counts. None: there are no plugins.
    pub directories: Vec<PathBuf>,
    /// How often they are looked for.
    pub look_every: Duration,
    /// Whether those run that are not named.
    pub runs_new: bool,
    /// Those that are named, and whether they run.
    pub named: BTreeMap<String, bool>,
    /// Of those that have a section.
    pub settings: BTreeMap<String, PluginSettings>,
    /// Variables of their environment.
    pub environment: Vec<(String, String)>,
}

/// What `[plugin:NAME]` says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PluginSettings {
    pub update_every_s: Option<u32>,
    /// Appended to its command line, as the shell reads it.
    pub command_options: String,
}

impl Plugins {
    /// Whether the plugin of this name is to run.
    pub fn runs(&self, name: &str) -> bool {
        self.named.get(name).copied().unwrap_or(self.runs_new && name != ONLY_IF_NAMED)
    }
}

impl Collecting {
    /// Nothing at all.
    pub fn off() -> Self {
        Self {
            own_figures_every_s: None,
            linux: LinuxParts { proc: false, diskspace: false, cgroups: false },
            plugins: Plugins {
                directories: Vec::new(),
                look_every: Duration::from_secs(60),
                runs_new: true,
                named: BTreeMap::new(),
                settings: BTreeMap::new(),
                environment: Vec::new(),
            },
        }
    }

    /// Whether nothing is collected.
    pub fn is_off(&self) -> bool {
        let LinuxParts { proc, diskspace, cgroups } = self.linux;
        let is_in_process = self.own_figures_every_s.is_some() || proc || diskspace || cgroups;
        !is_in_process && self.plugins.directories.is_empty()
    }
}

/// Whether a section is one of plugins, whose options have names of their own.
pub(super) fn is_of_plugins(section: &str) -> bool {
    section == "plugins" || section == "environment variables" || section.starts_with("plugin:")
}

pub(super) fn read(
    options: &mut Options<'_>,
    surroundings: &Surroundings,
    update_every_s: u32,
) -> Collecting {
    let own_figures = options.read("plugins", "netdata monitoring", value::boolean);
    let own_every = options.read_or("global statistics", "update every", &update_every_s.to_string(), every);
    let linux = LinuxParts {
        proc: options.read("plugins", "proc", value::boolean),
        diskspace: options.read("plugins", "diskspace", value::boolean),
        cgroups: options.read("plugins", "cgroups", value::boolean),
    };
    let base = &surroundings.config_dir;
    let directories = options.read("directories", "plugins", |text| {
        let mut found: Vec<PathBuf> = quoted_list(text).iter().map(|path| base.join(path)).collect();
        let complaint = format!("only the first {MOST_DIRECTORIES} directories are looked into");
        if found.len() > MOST_DIRECTORIES {
            found.truncate(MOST_DIRECTORIES);
            return Reading::odd(found, complaint);
        }
        Reading::clean(found)
    });
    let runs_new = options.read("plugins", "enable running new plugins", value::boolean);
    let look_every =
        options.read("plugins", "check for new plugins every", super::sending::at_least_a_second);
    let ini = options.ini;
    let named = ini.section("plugins").map_or_else(BTreeMap::new, |section| named(options, section));
    let settings = ini.sections.iter().filter_map(|section| {
        let name = section.name.strip_prefix("plugin:")?;
        Some((name.to_owned(), settings(options, section)))
    });
    let settings = settings.collect();
    let environment = environment(ini.section("environment variables"));
    let plugins = Plugins { directories, look_every, runs_new, named, settings, environment };
    record(options, &plugins);
    Collecting { own_figures_every_s: own_figures.then_some(own_every), linux, plugins }
}

fn every(text: &str) -> Reading<u32> {
    value::integer(text, 1, UPDATE_EVERY_MAX).map(|seconds| seconds as u32)
}

/// `NAME = yes`, of all names but those of our own collectors.
fn named(options: &mut Options<'_>, section: &Section) -> BTreeMap<String, bool> {
    let mut named = BTreeMap::new();
    for entry in &section.entries {
        let name = entry.name.as_str();
        if options.is_known("plugins", name) {
            continue;
        }
        let reading = value::boolean(&entry.value);
        if let Some((severity, complaint)) = reading.complaint {
            options.say(severity, Some(entry.line), format!("`[plugins] {name}`: {complaint}"));
        }
        let is_wanted = reading.value.unwrap_or_default();
        if NOT_BUILT_IN.contains(&name) {
            if is_wanted {
                let message = format!("`[plugins] {name}`: this collector is not built in");
                options.say(Severity::Note, Some(entry.line), message);
            }
        } else {
            named.insert(name.to_owned(), is_wanted);
        }
    }
    named
}

fn settings(options: &mut Options<'_>, section: &Section) -> PluginSettings {
    let mut settings = PluginSettings::default();
    for entry in &section.entries {
        match entry.name.as_str() {
            "update every" => {
                let reading = every(&entry.value);
                if let Some((severity, complaint)) = reading.complaint {
                    let message = format!("`[{}] update every`: {complaint}", section.name);
                    options.say(severity, Some(entry.line), message);
                }
                settings.update_every_s = reading.value;
            }
            "command options" => settings.command_options.clone_from(&entry.value),
            name => {
                let message = format!("`[{}] {name}` is not used by this version", section.name);
                options.say(Severity::Note, Some(entry.line), message);
            }
        }
    }
    settings
}

/// What the section says over what we were started with.
fn environment(section: Option<&Section>) -> Vec<(String, String)> {
    let inherited = |name: &str| std::env::var(name).unwrap_or_default();
    let mut variables = BTreeMap::from([("PATH".to_owned(), inherited("PATH") + MORE_PATH)]);
    for entry in section.into_iter().flat_map(|section| &section.entries) {
        // Others no environment can have.
        if !entry.name.contains(['=', '\0']) && !entry.value.contains('\0') {
            variables.insert(entry.name.clone(), entry.value.clone());
        }
    }
    variables.into_iter().collect()
}

/// Options with names of their own are shown together: each reading of a file shows the same settings in one order.
fn record(options: &mut Options<'_>, plugins: &Plugins) {
    let join = |items: Vec<String>| items.join(" ");
    let named =
        plugins.named.iter().map(|(name, runs)| format!("{name}={}", if *runs { "yes" } else { "no" }));
    let settings = plugins.settings.iter().map(|(name, settings)| {
        let every = settings.update_every_s.map_or(String::new(), |seconds| format!("every {seconds} s "));
        format!("{name}: {every}{};", settings.command_options)
    });
    let variables = plugins.environment.iter().map(|(name, _)| name.clone());
    for (section, shown) in [
        ("plugins", join(named.collect())),
        ("plugin:NAME", join(settings.collect())),
        ("environment variables", join(variables.collect())),
    ] {
        let prefix = section.trim_end_matches("NAME");
        let written = options.ini.sections.iter().find(|known| known.name.starts_with(prefix));
        let origin = written.map_or(Origin::Default, |written| Origin::File {
            file: options.ini.file.clone(),
            line: written.line,
        });
        options.record(section.to_owned(), "NAME".to_owned(), shown, origin);
    }
}

/// Words, in quotes if they have blanks.
fn quoted_list(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, behind) = match first {
            '"' | '\'' => rest[1..].split_once(first).unwrap_or((&rest[1..], "")),
            _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        if !word.is_empty() {
            found.push(word.to_owned());
        }
        rest = behind.trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_texts;
    use super::*;

    const KEY: &str = "[11111111-2222-3333-4444-555555555555]\nenabled = yes\n";

    fn collecting(netdata: &str) -> (Collecting, Vec<String>) {
        let loaded = load_texts(netdata, KEY, "").expect("no errors");
        let said = loaded.diagnostics.iter().map(|diagnostic| diagnostic.to_string()).collect();
        (loaded.config.collecting, said)
    }

    #[test]
    fn unless_it_is_said_otherwise_own_figures_are_collected_and_no_plugin_runs() {
        let (collecting, said) = collecting("");
        assert_eq!(collecting.own_figures_every_s, Some(1));
        assert_eq!(collecting.linux, LinuxParts { proc: true, diskspace: true, cgroups: true });
        assert_eq!(collecting.plugins.directories, Vec::<PathBuf>::new());
        assert_eq!(collecting.plugins.look_every, Duration::from_secs(60));
        assert!(collecting.plugins.runs("apps"));
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn plugins_are_named_and_set_as_in_netdata() {
        let (collecting, said) = collecting(
            "[directories]\nplugins = \"/a b\" '/c' d\n[db]\nupdate every = 3\n\
             [plugins]\nenable running new plugins = no\ncheck for new plugins every = 7\napps = yes\ncharts.d = no\n\
             proc = no\nnetdata monitoring = yes\ntc = yes\ntimex = no\n\
             [global statistics]\nupdate every = 5\n\
             [plugin:apps]\nupdate every = 2\ncommand options = debug 'a b'\nother = 1\n\
             [environment variables]\nPATH = /only\nTZ = UTC\n",
        );
        assert_eq!(collecting.own_figures_every_s, Some(5));
        assert!(!collecting.linux.proc && collecting.linux.cgroups);
        let plugins = &collecting.plugins;
        assert_eq!(plugins.directories[..2], [PathBuf::from("/a b"), PathBuf::from("/c")]);
        assert!(plugins.directories[2].is_absolute() && plugins.directories[2].ends_with("d"));
        assert_eq!(plugins.look_every, Duration::from_secs(7));
        assert!(plugins.runs("apps") && !plugins.runs("charts.d") && !plugins.runs("python.d"));
        let apps = &plugins.settings["apps"];
        assert_eq!((apps.update_every_s, &*apps.command_options), (Some(2), "debug 'a b'"));
        let of = |name: &str| plugins.environment.iter().find(|(known, _)| known == name);
        assert_eq!(of("PATH").map(|(_, value)| &**value), Some("/only"));
        assert_eq!(of("TZ").map(|(_, value)| &**value), Some("UTC"));
        for remark in ["tc", "[plugin:apps] other"] {
            assert_eq!(said.iter().filter(|said| said.contains(remark)).count(), 1, "{remark}: {said:?}");
        }
        assert_eq!(said.len(), 2, "{said:?}");
    }

    #[test]
    fn words_in_quotes_are_one() {
        for (text, expected) in
            [("", &[][..]), ("  a  b ", &["a", "b"]), ("\"a b\"c 'd", &["a b", "c", "d"]), ("\"\" x", &["x"])]
        {
            assert_eq!(quoted_list(text), expected, "{text}");
        }
    }
}
