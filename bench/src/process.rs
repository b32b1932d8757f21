//! [`Usage`]: what a process has taken of the machine, as `/proc` tells it.

use std::collections::HashMap;

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc/PID/stat`: `USER_HZ`, part of the kernel's interface to programs.
const TICKS: f64 = 100.0;

/// Since the process began, all threads together; memory now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: u64,
    /// The most that was ever resident.
    pub(crate) peak_bytes: u64,
    /// Bytes that it caused to be sent to the disk.
    pub(crate) written_bytes: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("{path}: has the parent ended?"))
        };
        let stat = cpu_ticks(&read("stat")?).context("/proc/PID/stat")?;
        let status = read("status")?;
        let resident = field(&status, "VmRSS:").context("VmRSS in /proc/PID/status")?;
        let peak = field(&status, "VmHWM:").context("VmHWM in /proc/PID/status")?;
        let written = field(&read("io")?, "write_bytes:").context("write_bytes in /proc/PID/io")?;
        Ok(Usage {
            cpu_s: stat as f64 / TICKS,
            resident_bytes: resident * 1024,
            peak_bytes: peak * 1024,
            written_bytes: written,
        })
    }
}

/// Processor time of each thread of a process, in seconds, by its id.
pub(crate) fn threads(pid: u32) -> Result<HashMap<String, f64>> {
    let mut threads = HashMap::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).context("has the parent ended?")? {
        let thread = thread?;
        // It may have ended since.
        let Ok(stat) = std::fs::read_to_string(thread.path().join("stat")) else { continue };
        if let Some(ticks) = cpu_ticks(&stat) {
            threads.insert(thread.file_name().to_string_lossy().into_owned(), ticks as f64 / TICKS);
        }
    }
    Ok(threads)
}

/// The most that a thread took between two looks.
pub(crate) fn busiest(before: &HashMap<String, f64>, after: &HashMap<String, f64>) -> f64 {
    let took = |(thread, cpu_s): (&String, &f64)| cpu_s - before.get(thread).unwrap_or(&0.0);
    after.iter().map(took).fold(0.0, f64::max)
}

/// `utime` and `stime`, the 14th and 15th field. The second, a name in brackets, may hold spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 123 45 6 7 20 0 30 0 999 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
    }

    #[test]
    fn the_busiest_thread_is_that_which_took_most_meanwhile() {
        let times = |all: &[(&str, f64)]| all.iter().map(|(id, time)| ((*id).to_owned(), *time)).collect();
        let before: HashMap<String, f64> = times(&[("1", 50.0), ("2", 3.0)]);
        let after = times(&[("1", 51.0), ("2", 7.5), ("3", 2.0)]);
        assert_eq!(busiest(&before, &after), 4.5);
        assert!(!threads(std::process::id()).expect("our own").is_empty());
    }

    #[test]
    fn this_process_has_memory() {
        let usage = Usage::of(std::process::id()).expect("our own");
        assert!(usage.resident_bytes > 100_000);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let io = "wchar: 7\ncancelled_write_bytes: 1\nwrite_bytes: 4096\n";
        assert_eq!(field(io, "write_bytes:"), Some(4096));
        assert_eq!(field(io, "read_bytes:"), None);
    }
}
