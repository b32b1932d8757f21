//! Space and inodes of what is mounted.

use std::path::PathBuf;
use std::sync::Arc;

use procfs::process::MountInfo;

use super::chart::{Chart, Charts, Instance, Layout, Lines, absolute, chart};
use super::roster::Roster;
use super::text::{Reader, lines};
use super::{Pace, Subject};

const SPACE: &[Chart] = &[
    chart("disk_space.*", "Disk Space Usage", "GiB", "*", 2023)
        .context("disk.space")
        .stacked()
        .if_not_zero()
        .dimensions(&[
            absolute("avail").from("space avail").in_units().over(1 << 30),
            absolute("used").from("space used").in_units().over(1 << 30),
            absolute("reserved_for_root")
                .named("reserved for root")
                .from("space reserved_for_root")
                .in_units()
                .over(1 << 30),
        ]),
    chart("disk_inodes.*", "Disk Files (inodes) Usage", "inodes", "*", 2024)
        .context("disk.inodes")
        .stacked()
        .if_not_zero()
        .dimensions(&[
            absolute("avail").from("inodes avail"),
            absolute("used").from("inodes used"),
            absolute("reserved_for_root").named("reserved for root").from("inodes reserved_for_root"),
        ]),
];

const PLUGIN: &str = "diskspace.plugin";
/// How long a mount may stay unnoticed.
const LOOK_EVERY_S: u32 = 15;
/// What file systems without inodes say they have.
const NO_INODES: u64 = u64::MAX;

/// Below these, mounts are not of interest.
const EXCLUDED_BELOW: [&str; 6] =
    ["/proc/", "/sys/", "/var/run/user/", "/run/user/", "/snap/", "/var/lib/docker/"];
/// File systems by the end of their name: those of users, and of networks. Asking one whose server is gone would hang.
const EXCLUDED_SUFFIXES: [&str; 11] =
    ["gvfs", "s3fs", "ipfs", "davfs2", "httpfs", "sshfs", "gdfs", "moosefs", "fusectl", "autofs", "gluster"];
/// File systems of networks that Netdata asks, from a thread that may hang. We have no such thread.
const REMOTE: [&str; 17] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "afs",
    "coda",
    "ceph",
    "9p",
    "lustre",
    "gpfs",
    "ocfs2",
    "gfs2",
    "beegfs",
    "pvfs2",
    "fuse.rclone",
];
/// File systems without space.
const DUMMY: [&str; 13] = [
    "autofs",
    "proc",
    "subfs",
    "debugfs",
    "devpts",
    "fusectl",
    "mqueue",
    "rpc_pipefs",
    "sysfs",
    "devfs",
    "kernfs",
    "ignore",
    "none",
];
/// Where systemd mounts a unit's read-only view of a directory over itself.
const PROTECTED: [&str; 11] =
    ["/home", "/root", "/usr", "/boot", "/efi", "/etc", "/run/user", "/lib", "/lib64", "/bin", "/sbin"];

/// A line of `/proc/self/mountinfo`, as far as it matters.
pub(super) struct Mount {
    /// `major:minor`
    pub(super) device: String,
    pub(super) mount_point: String,
    pub(super) source: String,
    root: String,
    file_system: String,
    is_read_only: bool,
}

impl Mount {
    pub(super) fn file_system(&self) -> &str {
        &self.file_system
    }

    fn is_shown(&self) -> bool {
        let file_system = self.file_system.as_str();
        let is_excluded = DUMMY.contains(&file_system)
            || REMOTE.contains(&file_system)
            || self.source.contains(':')
            || EXCLUDED_SUFFIXES.iter().any(|suffix| file_system.ends_with(suffix))
            || file_system.contains("gluster")
            || EXCLUDED_BELOW.iter().any(|path| self.mount_point.starts_with(path));
        let is_view = self.is_read_only
            && PROTECTED.contains(&self.mount_point.as_str())
            && self.root == self.mount_point;
        // Images are read-only, and full by nature.
        let is_image = self.is_read_only && !PROTECTED.contains(&self.mount_point.as_str());
        !is_excluded && !is_view && !is_image
    }
}

/// What is mounted now; of mounts over each other at one place, the first.
pub(super) fn read(reader: &mut Reader) -> Vec<Mount> {
    let path = reader.path("/proc/self/mountinfo");
    let mut mounts: Vec<Mount> = Vec::new();
    for line in reader.read_once(&path).into_iter().flat_map(lines) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let Ok(info) = MountInfo::from_line(line) else { continue };
        let mount_point = unescape(&info.mount_point.to_string_lossy());
        if mounts.iter().any(|mount| mount.mount_point == mount_point) {
            continue;
        }
        mounts.push(Mount {
            device: info.majmin,
            mount_point,
            source: info.mount_source.unwrap_or_default(),
            root: info.root,
            file_system: info.fs_type,
            is_read_only: info.mount_options.contains_key("ro") || info.super_options.contains_key("ro"),
        });
    }
    mounts
}

/// The kernel writes spaces and the like as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name as it can stand in a chart's id.
pub(super) fn as_id(name: &str) -> String {
    let keep = |byte: char| byte.is_ascii_alphanumeric() || "-_.".contains(byte);
    name.chars().map(|char| if keep(char) { char } else { '_' }).collect()
}

struct Mounted {
    path: PathBuf,
    charts: Charts,
}

/// The space of each mount.
pub(super) struct Mounts {
    layout: Arc<Layout>,
    pace: Pace,
    mounted: Roster<Mounted>,
}

impl Mounts {
    pub(super) fn new() -> Self {
        Self {
            layout: Layout::new(PLUGIN, "", SPACE),
            pace: Pace::new(LOOK_EVERY_S),
            mounted: Roster::default(),
        }
    }
}

impl Subject for Mounts {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        if self.pace.due(out).is_some() {
            let mounts = read(reader);
            for mount in mounts.iter().filter(|mount| mount.is_shown()) {
                let path = reader.path(&mount.mount_point);
                if path.is_dir() {
                    self.mounted.meet(mount.mount_point.as_bytes(), || mounted(&self.layout, mount, path));
                }
            }
            self.mounted.sweep(|mounted| mounted.charts.retire(out));
        }
        for Mounted { path, charts } in self.mounted.iter_mut() {
            let Ok(space) = rustix::fs::statvfs(&*path) else { continue };
            if charts.instance().unit == 0 {
                let block = if space.f_frsize == 0 { space.f_bsize } else { space.f_frsize };
                charts.set_unit(block.cast_signed());
            }
            let used = space.f_blocks.abs_diff(space.f_bfree);
            charts.put("space avail", space.f_bavail);
            charts.put("space used", used);
            charts.put("space reserved_for_root", space.f_bfree.wrapping_sub(space.f_bavail));
            if space.f_favail != NO_INODES {
                charts.put("inodes avail", space.f_favail);
                charts.put("inodes used", space.f_files.wrapping_sub(space.f_ffree));
                charts.put("inodes reserved_for_root", space.f_ffree.wrapping_sub(space.f_favail));
            }
            charts.write(out);
        }
    }
}

fn mounted(layout: &Arc<Layout>, mount: &Mount, path: PathBuf) -> Mounted {
    let instance = Instance {
        id: as_id(&mount.mount_point),
        family: mount.mount_point.clone(),
        labels: vec![
            ("mount_point", mount.mount_point.clone()),
            ("filesystem", mount.file_system.clone()),
            ("mount_root", mount.root.clone()),
        ],
        ..Instance::default()
    };
    Mounted { path, charts: Charts::new(layout, instance) }
}
