//! [`Guard`]: no plugin outlives this process, however that ends.
//!
//! A shell in a process group of its own is told of every plugin's group, and reads until we close its standard input, which
//! the kernel does for us when we are killed; then it ends the groups that are left. The signal that Linux sends to the
//! children of a process that dies would be asked for between fork and exec, where only `unsafe` code can be, and programs
//! with capabilities of their own do not get it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

const SCRIPT: &str = r#"trap '' HUP INT QUIT TERM PIPE
groups=' '
while read -r change group; do
  case $change in
    +) groups="$groups$group " ;;
    -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
  esac
done
[ -n "${groups# }" ] || exit 0
for group in $groups; do kill -s TERM -- "-$group"; done
sleep 2
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

/// The shell that watches over plugins.
#[derive(Debug)]
pub(super) struct Guard(RefCell<Child>);

impl Guard {
    pub(super) fn start() -> io::Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(RefCell::new(shell)))
    }

    /// A plugin runs in this process group.
    pub(super) fn watch(&self, group: Pid) {
        self.tell(&format!("+ {}\n", group.as_raw_nonzero()));
    }

    /// Nothing is left of this process group.
    pub(super) fn forget(&self, group: Pid) {
        self.tell(&format!("- {}\n", group.as_raw_nonzero()));
    }

    fn tell(&self, line: &str) {
        if let Some(input) = &mut self.0.borrow_mut().stdin
            && let Err(error) = input.write_all(line.as_bytes())
        {
            tracing::warn!(%error, "the shell that ends plugins if we are killed is gone");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut shell = self.0.borrow_mut();
        drop(shell.stdin.take());
        // Told of the end of all groups it ends at once.
        let _ = shell.wait();
    }
}
