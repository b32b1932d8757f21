//! What the machine must allow before any executor starts, and what to do when it does not.
//!
//! glommio and tokio-uring panic in their threads with misleading texts when io_uring is denied; so the kernel is asked
//! first, and the answer is one message that names cause and cure.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What glommio insists on, even for root.
const LOCKED_BYTES: u64 = 512 << 10;
/// Descriptors below which a parent of many children will refuse some.
const FEW_FILES: u64 = 4096;

/// Why the parent cannot run on this machine as it is set up.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    #[error(
        "io_uring is denied (operation not permitted): either the container's seccomp profile blocks it (allow \
         io_uring_setup, io_uring_enter and io_uring_register; with Docker: --security-opt seccomp=PROFILE), or \
         'sysctl kernel.io_uring_disabled' is {disabled}: set it to 0"
    )]
    Denied { disabled: String },
    #[error("this kernel has no io_uring: Linux 5.8 or newer is needed")]
    Missing,
    #[error("io_uring cannot lock memory: raise the limit ('ulimit -l', LimitMEMLOCK= of systemd) to 64 MiB")]
    LockedMemory,
    #[error(
        "locked memory is limited to {limit} bytes and {LOCKED_BYTES} are needed: raise the hard limit ('ulimit -H \
         -l', LimitMEMLOCK= of systemd, memlock in limits.conf) to 64 MiB"
    )]
    LockedMemoryLimit { limit: u64 },
    #[error("io_uring cannot be set up: {0}")]
    Other(std::io::Error),
}

/// Raises this process' soft limits to its hard ones, and asks the kernel for an io_uring.
pub fn check() -> Result<(), PreflightError> {
    raise(Resource::Nofile);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < FEW_FILES {
        tracing::warn!(
            files,
            "few file descriptors: every child needs one; raise the hard limit ('ulimit -H -n', LimitNOFILE= of systemd)"
        );
    }
    raise(Resource::Memlock);
    io_uring::IoUring::new(8).map(drop).map_err(|error| {
        match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
                let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
                PreflightError::Denied {
                    disabled: disabled.map_or("not readable".into(), |text| text.trim().into()),
                }
            }
            Some(rustix::io::Errno::NOSYS) => PreflightError::Missing,
            Some(rustix::io::Errno::NOMEM) => PreflightError::LockedMemory,
            _ => PreflightError::Other(error),
        }
    })?;
    let locked = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    if locked < LOCKED_BYTES {
        return Err(PreflightError::LockedMemoryLimit { limit: locked });
    }
    Ok(())
}

/// Bytes that each executor may pin in each of its three rings: all get along with the limit of an unprivileged user.
pub fn io_memory(shards: usize) -> usize {
    const MOST: u64 = 256 << 10;
    const LEAST: u64 = 64 << 10;
    const RINGS: u64 = 3;
    let locked = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    (locked / (RINGS * shards.max(1) as u64 * 2)).clamp(LEAST, MOST) as usize
}

fn raise(resource: Resource) {
    let limit = getrlimit(resource);
    if limit.current != limit.maximum {
        // Refused: the check that follows says what is missing.
        let _ = setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
