//! The files of the dashboard, built into the binary: a page, and what it loads. It uses only the public API.
//!
//! `build.rs` makes them of the TypeScript in `dashboard/`; docs/decisions/0011-dashboard.md says how and why.

/// A built file.
#[derive(Debug)]
pub struct File {
    /// As the page asks for it, without the leading slash. Those of `assets/` have a digest of their content in their name: what
    /// such a path names never changes.
    pub path: &'static str,
    pub bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/dashboard_files.rs"));

/// The page's views that have a path of their own; a host's is `/host/<host>/`, the fleet's `/`.
pub const VIEWS: [&str; 3] = ["compare", "streaming", "storage"];

/// The page loads nothing from anywhere else, and runs no script but its own.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
     font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// The page of all views.
pub fn page() -> &'static [u8] {
    file("index.html").map_or(&[], |file| file.bytes)
}

/// The file of this path.
pub fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    pub fn content_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("txt") => "text/plain; charset=utf-8",
            Some("woff2") => "font/woff2",
            _ => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_finds_all_that_it_names() {
        let page = str::from_utf8(page()).expect("text");
        let named: Vec<&str> = page.split('"').filter_map(|word| word.strip_prefix("/assets/")).collect();
        assert!(named.len() >= 2, "{page}");
        for name in named {
            let file = file(&format!("assets/{name}")).expect(name);
            assert!(!file.bytes.is_empty() && file.content_type().starts_with("text/"), "{name}");
        }
    }

    #[test]
    fn no_file_refers_to_another_machine() {
        for File { path, bytes } in FILES.iter().filter(|file| file.content_type().starts_with("text/html")) {
            let text = String::from_utf8_lossy(bytes);
            let others = text.matches("http://").count() + text.matches("https://").count();
            let namespaces = text.matches("http://www.w3.org/").count();
            assert_eq!(others, namespaces, "{path}");
        }
    }
}
