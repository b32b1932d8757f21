//! Builds the dashboard (`src/dashboard`, TypeScript) with Vite, and lists what came of it for `src/dashboard.rs` to embed.
//!
//! Needs Node and npm; the packages are those of `package-lock.json`, installed once by `npm ci`. With
//! `MAINSTEM_DASHBOARD=<directory>` the files are taken from there instead: for builds without Node or a network.
//! Why here: docs/decisions/0011-dashboard.md.

use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

/// What the built files depend on, besides the directory `src`.
const SOURCES: [&str; 5] =
    ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.js"];
const PREBUILT: &str = "MAINSTEM_DASHBOARD";

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let sources = root.join("src/dashboard");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for source in SOURCES.iter().chain(&["src"]) {
        println!("cargo::rerun-if-changed=src/dashboard/{source}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    let built = match env::var_os(PREBUILT) {
        Some(prebuilt) => PathBuf::from(prebuilt),
        None => {
            let built = out.join("dashboard");
            build(&sources, &built);
            built
        }
    };
    let listed = list(&built)
        .unwrap_or_else(|error| fail(&format!("the dashboard's files in {}: {error}", built.display())));
    fs::write(out.join("dashboard_files.rs"), listed).expect("OUT_DIR can be written to");
}

fn build(sources: &Path, built: &Path) {
    // Of two builds of this checkout, such as one for tests and one for release, one waits.
    let lock = sources.join("package-lock.json");
    let held = File::open(&lock).unwrap_or_else(|error| fail(&format!("{}: {error}", lock.display())));
    held.lock().unwrap_or_else(|error| fail(&format!("{} cannot be locked: {error}", lock.display())));
    if !is_installed(sources) {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(sources));
    }
    let vite = ["node_modules/vite/bin/vite.js", "build", "--logLevel", "warn", "--emptyOutDir", "--outDir"];
    run(Command::new("node").args(vite).arg(built).current_dir(sources));
}

/// Whether `npm ci` has installed what the lock file says: npm leaves a copy of it behind.
fn is_installed(sources: &Path) -> bool {
    let changed = |path: &str| fs::metadata(sources.join(path)).and_then(|file| file.modified());
    match (changed("node_modules/.package-lock.json"), changed("package-lock.json")) {
        (Ok(installed), Ok(wanted)) => installed >= wanted,
        _ => false,
    }
}

fn run(command: &mut Command) {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => fail(&format!(
            "the dashboard cannot be built: {command:?} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        )),
        Err(error) => fail(&format!(
            "the dashboard cannot be built: {program}: {error}. Install Node 18 or later with npm (Debian: nodejs, npm), \
             or set {PREBUILT} to a directory of built files."
        )),
    }
}

/// A Rust array of all built files: paths as the page asks for them, and their bytes.
fn list(built: &Path) -> io::Result<String> {
    let mut files = vec![("index.html".to_owned(), built.join("index.html").canonicalize()?)];
    let mut assets = fs::read_dir(built.join("assets"))?.collect::<io::Result<Vec<_>>>()?;
    assets.sort_by_key(fs::DirEntry::file_name);
    for asset in assets {
        let name = asset.file_name().to_string_lossy().into_owned();
        files.push((format!("assets/{name}"), asset.path().canonicalize()?));
    }
    let mut text = "static FILES: &[File] = &[\n".to_owned();
    for (path, file) in files {
        let file = file.display().to_string();
        writeln!(text, "    File {{ path: {path:?}, bytes: include_bytes!({file:?}) }},").expect("a string");
    }
    text.push_str("];\n");
    Ok(text)
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1);
}
