//! Who we are: the machine GUID; the API key of the embedded default; the key of those who manage us. Each is a file that
//! is made once and then only read.
//!
//! | file                                            | holds                                        | mode |
//! |-------------------------------------------------|----------------------------------------------|------|
//! | `<lib>/registry/netdata.public.unique.id`       | the machine GUID: a UUID of 36 bytes         | 0660 |
//! | `<state>/api.key`                               | an API key, the same, and a line's end       | 0600 |
//! | `<lib>/netdata.api.key`                         | the management key, the same                 | 0600 |
//!
//! The GUID names this parent to other agents, and its hosts in their databases: one that can be read is never changed.
//! New files are written beside their place, synced and renamed, so that a crash leaves an old one, a new one, or none.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::diagnostic::{Diagnostic, Severity};
use super::options::is_uuid;

const GUID_MODE: u32 = 0o660;
const KEY_MODE: u32 = 0o600;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{} cannot be read: {cause}; it must be readable for the user that runs mainstem", .path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error(
        "the directory {} cannot be made: {cause}; make it for the user that runs mainstem, or name another state \
         directory", .path.display()
    )]
    Directory { path: PathBuf, cause: io::Error },
    #[error(
        "{} cannot be written: {cause}; its directory must be writable for the user that runs mainstem, or name \
         another state directory", .path.display()
    )]
    Write { path: PathBuf, cause: io::Error },
    #[error("{} does not hold an API key; write a UUID into it, or remove it and a new key is made", .path.display())]
    NotAKey { path: PathBuf },
}

impl IdentityError {
    /// What could not be read or written.
    pub fn path(&self) -> &Path {
        match self {
            IdentityError::Read { path, .. }
            | IdentityError::Directory { path, .. }
            | IdentityError::Write { path, .. }
            | IdentityError::NotAKey { path } => path,
        }
    }
}

/// The machine GUID of `file`, in lower case. Made when it is not there; a text that is none is replaced, with a
/// warning.
pub fn machine_guid(file: &Path) -> Result<(String, Option<Diagnostic>), IdentityError> {
    let found = read(file)?;
    if let Some(guid) = found.as_deref().and_then(uuid_in) {
        return Ok((guid, None));
    }
    let guid = new_machine_guid();
    write(file, &guid, GUID_MODE)?;
    let replaced = found.map(|_| {
        let message =
            "its text was no machine GUID and is replaced by a new one: to other agents this is a new host";
        Diagnostic::new(Severity::Warning, file, None, message)
    });
    Ok((guid, replaced))
}

/// The embedded default's API key; made when it is not there.
pub fn api_key(state_dir: &Path) -> Result<String, IdentityError> {
    key(api_key_file(state_dir))
}

/// Where [`api_key`] keeps it.
pub fn api_key_file(state_dir: &Path) -> PathBuf {
    state_dir.join("api.key")
}

/// The token of those who manage a running parent; made when it is not there.
pub fn management_key(lib: &Path) -> Result<ManagementKey, IdentityError> {
    key(management_key_file(lib)).map(ManagementKey)
}

/// Where [`management_key`] keeps it: in the file of a Netdata's.
pub fn management_key_file(lib: &Path) -> PathBuf {
    lib.join("netdata.api.key")
}

/// The management key that a parent has made.
pub fn existing_management_key(lib: &Path) -> Result<Option<ManagementKey>, IdentityError> {
    let file = management_key_file(lib);
    let Some(bytes) = read(&file)? else { return Ok(None) };
    uuid_in(&bytes).map(|key| Some(ManagementKey(key))).ok_or(IdentityError::NotAKey { path: file })
}

/// The token of those who manage a parent.
#[derive(Clone, PartialEq, Eq)]
pub struct ManagementKey(String);

impl ManagementKey {
    /// For the header of a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it was given, found out in a time that does not tell how much of it was.
    pub fn is(&self, token: &str) -> bool {
        let differences = token.bytes().zip(self.0.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        token.len() == self.0.len() && differences == 0
    }
}

/// No log line may show it.
impl std::fmt::Debug for ManagementKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&super::redacted(&self.0))
    }
}

fn key(file: PathBuf) -> Result<String, IdentityError> {
    match read(&file)? {
        Some(bytes) => uuid_in(&bytes).ok_or(IdentityError::NotAKey { path: file }),
        None => {
            let key = Uuid::new_v4().to_string();
            write(&file, &format!("{key}\n"), KEY_MODE)?;
            Ok(key)
        }
    }
}

/// By time, as Netdata makes them; in place of a network card's address there is chance, marked as such.
fn new_machine_guid() -> String {
    let random = Uuid::new_v4().into_bytes();
    let node = [random[0] | 1, random[1], random[2], random[3], random[4], random[5]];
    Uuid::now_v1(&node).to_string()
}

/// White space around it and capitals do no harm: somebody had the file in an editor.
fn uuid_in(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    is_uuid(text).then(|| text.to_ascii_lowercase())
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, IdentityError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        // A file in place of its directory: making the directory will say so.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(cause) => Err(IdentityError::Read { path: path.to_path_buf(), cause }),
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)
        .map_err(|cause| IdentityError::Directory { path: directory.to_path_buf(), cause })?;

    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = write_new(&new, text, mode)
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| File::open(directory)?.sync_all());
    written.map_err(|cause| {
        // Nobody looks for it any more; that it may stay changes nothing.
        let _ = fs::remove_file(&new);
        IdentityError::Write { path: path.to_path_buf(), cause }
    })
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    // Left by a process of our number that died: its mode may be another.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::TestDir;
    use super::*;

    #[test]
    fn a_machine_guid_is_made_once() {
        let dir = TestDir::new("guid-made");
        let file = dir.path().join("registry/netdata.public.unique.id");
        let (made, said) = machine_guid(&file).expect("made");
        assert!(is_uuid(&made) && said.is_none());
        assert_eq!(fs::read_to_string(&file).expect("readable"), made);
        assert_eq!(made.as_bytes()[14], b'1', "by time: {made}");
        assert_eq!(machine_guid(&file).expect("read").0, made);
        let beside = fs::read_dir(dir.path().join("registry")).expect("listed").count();
        assert_eq!(beside, 1, "nothing is left beside it");
    }

    #[test]
    fn a_good_guid_stays_and_a_bad_one_is_replaced() {
        #[track_caller]
        fn check(name: &str, text: &str, stays: bool) {
            let dir = TestDir::new(name);
            let file = dir.path().join("id");
            fs::write(&file, text).expect("written");
            let (guid, said) = machine_guid(&file).expect("readable");
            assert_eq!(guid == text.trim().to_lowercase(), stays, "{text:?}");
            assert_eq!(said.is_none(), stays, "{text:?}");
            assert_eq!(fs::read_to_string(&file).expect("readable") == text, stays, "{text:?}");
        }
        check("guid-good", "5a7b1d94-e65d-11f1-9f2e-0242ac110002", true);
        check("guid-line", "5a7b1d94-e65d-11f1-9f2e-0242ac110002\n", true);
        check("guid-case", "5A7B1D94-E65D-11F1-9F2E-0242AC110002", true);
        check("guid-bad", "nonsense", false);
        check("guid-empty", "", false);
    }

    #[test]
    fn an_api_key_is_made_once_and_for_us_alone() {
        let dir = TestDir::new("key-made");
        let key = api_key(dir.path()).expect("made");
        assert!(is_uuid(&key));
        let mode = fs::metadata(api_key_file(dir.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(api_key(dir.path()).expect("read"), key);
        fs::write(api_key_file(dir.path()), "nonsense").expect("written");
        assert!(matches!(api_key(dir.path()), Err(IdentityError::NotAKey { .. })));
    }

    #[test]
    fn a_management_key_is_made_once_and_found_by_those_who_may_read_it() {
        let dir = TestDir::new("management-key");
        assert_eq!(existing_management_key(dir.path()).expect("no file, no key"), None);
        let key = management_key(dir.path()).expect("made");
        let mode = fs::metadata(management_key_file(dir.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(management_key(dir.path()).expect("read"), key);
        let text = key.as_str().to_owned();
        assert!(is_uuid(&text) && !format!("{key:?}").contains(&text));
        let (less, more) = (&text[..35], format!("{text}0"));
        for (token, is_it) in
            [(&*text, true), (less, false), (&more, false), ("", false), (&text.replace('-', "_"), false)]
        {
            assert_eq!(key.is(token), is_it, "{token}");
        }
        assert_eq!(existing_management_key(dir.path()).expect("read"), Some(key));
    }

    #[test]
    fn a_state_directory_that_cannot_be_made_is_named() {
        let dir = TestDir::new("key-nowhere");
        let file = dir.path().join("a-file");
        fs::write(&file, "").expect("written");
        let error = api_key(&file.join("state")).expect_err("a file is no directory");
        assert!(error.to_string().contains("a-file"), "{error}");
        assert!(error.to_string().contains("mainstem"), "{error}");
    }
}
