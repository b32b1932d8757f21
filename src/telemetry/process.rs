//! [`ProcessFigures`]: what the kernel says of this process.

/// `USER_HZ`: the unit of `/proc/self/stat`, 100 on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// The figures of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessFigures {
    pub user_milliseconds: u64,
    pub system_milliseconds: u64,
    pub resident_bytes: u64,
    pub open_files: usize,
}

impl ProcessFigures {
    pub fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let user: u64 = fields.nth(11)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = resident.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Self {
            user_milliseconds: user * 1000 / TICKS_PER_SECOND,
            system_milliseconds: system * 1000 / TICKS_PER_SECOND,
            resident_bytes: kilobytes * 1024,
            open_files: std::fs::read_dir("/proc/self/fd").ok()?.count(),
        })
    }

    pub fn cpu_seconds(&self) -> f64 {
        (self.user_milliseconds + self.system_milliseconds) as f64 / 1000.0
    }
}
