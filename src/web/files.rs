//! Static files: those of a Netdata's web directory (`[directories] web`), as far as there is one.
//!
//! Names hold letters, digits and `/.-_`, never `..` and no empty part, so none leads out of the directory; links in it are followed, as a
//! distribution's package has some. Files are read anew for each request: the kernel keeps them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use http::{StatusCode, header};

use super::answer::{Answer, escape_html};

/// Larger files are not served: none of Netdata's is near.
const MOST_BYTES: u64 = 32 << 20;
/// Larger ones are sent as they are: compressing them would keep others waiting.
const GZIP_UP_TO_BYTES: usize = 1 << 20;

/// By extension, as a Netdata names them, but for JSON and source maps, which it does not know.
const CONTENT_TYPES: [(&str, &str); 21] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "application/x-javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("xml", "text/xml; charset=utf-8"),
    ("xsl", "text/xsl; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("json", "application/json; charset=utf-8"),
    ("map", "application/json; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("ttf", "application/x-font-truetype"),
    ("otf", "application/x-font-opentype"),
    ("woff", "application/font-woff"),
    ("woff2", "application/font-woff2"),
    ("eot", "application/vnd.ms-fontobject"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("ico", "image/x-icon"),
    ("icns", "image/icns"),
];

fn content_type(name: &str) -> &'static str {
    let extension =
        name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    let known = CONTENT_TYPES.iter().find(|(known, _)| Some(*known) == extension);
    known.map_or("application/octet-stream", |(_, content_type)| content_type)
}

/// Whether what is of this type is compressed already.
fn is_compressed(content_type: &str) -> bool {
    ["image/png", "image/jpeg", "image/gif", "application/font-woff", "application/font-woff2"]
        .contains(&content_type)
}

/// The file of this name below `root`; of a directory, its `index.html`. A thread of its own reads:
/// the file system may be slow, and other questions do not wait for it.
pub(super) async fn answer(root: &Path, name: String) -> Answer {
    if let Some(refusal) = refusal(&name) {
        return refusal;
    }
    let path = root.join(&name);
    let found = tokio::task::spawn_blocking(move || find(&path)).await.expect("reading does not panic");
    match found {
        Ok(Found { bytes, changed, content_type }) => {
            let gzip = bytes.len() <= GZIP_UP_TO_BYTES && !is_compressed(content_type);
            let answer = Answer { cacheable: true, gzip, ..Answer::new(content_type, bytes) };
            answer.with_header(header::LAST_MODIFIED, httpdate::fmt_http_date(changed))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Answer::html_error(
            StatusCode::FORBIDDEN,
            format!("Access to file is not permitted: {}", escape_html(&name)),
        ),
        Err(_) => missing(&name),
    }
}

/// There is no file of this name, or none may be asked for by it.
pub(super) fn missing(name: &str) -> Answer {
    refusal(name).unwrap_or_else(|| {
        Answer::html_error(
            StatusCode::NOT_FOUND,
            format!("File does not exist, or is not accessible: {}", escape_html(name)),
        )
    })
}

fn refusal(name: &str) -> Option<Answer> {
    let valid = |character: char| character.is_ascii_alphanumeric() || "/.-_".contains(character);
    let what = if !name.chars().all(valid) {
        "Filename contains invalid characters"
    } else if name.contains("..") {
        "Relative filenames are not supported"
    } else if !name.is_empty() && name.split('/').any(str::is_empty) {
        // An encoded slash in front would make it a path from the root of the file system.
        "Filename contains empty names"
    } else {
        return None;
    };
    Some(Answer::html_error(StatusCode::BAD_REQUEST, format!("{what}: {}", escape_html(name))))
}

struct Found {
    bytes: Vec<u8>,
    changed: SystemTime,
    content_type: &'static str,
}

/// A file, or a directory's page.
fn find(path: &Path) -> io::Result<Found> {
    read(path).or_else(|error| match error.kind() {
        io::ErrorKind::IsADirectory => read(&path.join("index.html")),
        _ => Err(error),
    })
}

/// A file's bytes. `InvalidInput` for what is no file, or too large a one.
fn read(path: &Path) -> io::Result<Found> {
    // Opening a pipe would wait for its other end.
    let kind = std::fs::metadata(path)?;
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() || kind.len() > MOST_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::with_capacity(kind.len() as usize);
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let changed = kind.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(Found { bytes, changed, content_type: content_type(&path.to_string_lossy()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for directory in ["web/old", "outside"] {
            std::fs::create_dir_all(root.path().join(directory)).expect("made");
        }
        for (name, text) in [
            ("web/index.html", "root"),
            ("web/old/index.html", "old"),
            ("web/a.json", "{}"),
            ("outside/secret", "secret"),
        ] {
            std::fs::write(root.path().join(name), text).expect("written");
        }
        std::os::unix::fs::symlink("../outside/secret", root.path().join("web/linked.woff2"))
            .expect("linked");
        root
    }

    #[tokio::test]
    async fn files_are_served_by_name_and_directories_by_their_page() {
        let root = directory();
        let web = root.path().join("web");
        async fn check(web: &Path, name: &str, status: u16, content_type: &str, body: &str) {
            let found = answer(web, name.to_owned()).await;
            assert_eq!(found.status.as_u16(), status, "{name}");
            assert_eq!(found.content_type, content_type, "{name}");
            assert!(String::from_utf8_lossy(&found.body).contains(body), "{name}");
        }
        let html = "text/html; charset=utf-8";
        check(&web, "", 200, html, "root").await;
        check(&web, "index.html", 200, html, "root").await;
        check(&web, "old", 200, html, "old").await;
        check(&web, "a.json", 200, "application/json; charset=utf-8", "{}").await;
        check(&web, "linked.woff2", 200, "application/font-woff2", "secret").await;
        check(&web, "nosuch.html", 404, html, "nosuch.html").await;
        check(&web, "index.html/more", 404, html, "").await;
        check(&web, "../outside/secret", 400, html, "Relative").await;
        check(&web, "a/../../outside/secret", 400, html, "Relative").await;
        check(&web, "a b", 400, html, "invalid characters").await;
        check(&web, "a\0", 400, html, "invalid characters").await;
        check(&root.path().join("nowhere"), "", 404, html, "").await;
    }

    #[tokio::test]
    async fn what_is_no_file_is_not_opened() {
        let root = directory();
        let socket = root.path().join("web/socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        assert_eq!(answer(&root.path().join("web"), "socket".to_owned()).await.status, StatusCode::FORBIDDEN);
    }
}
