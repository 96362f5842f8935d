//! What the memory of this machine can hold.

use crate::error::{EncoderError, Result};
use std::fs;

/// The number of bytes that a control group is allowed, in its two versions. Where there is no
/// limit, there is no number.
const LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Refuses what takes more bytes than the machine has memory, and names both.
///
/// It is no promise: what is left may be less than what there is.
///
/// # Errors
/// [`EncoderError::Memory`].
pub fn check(what: impl Into<String>, bytes: u64) -> Result<()> {
    let available = total();
    match bytes <= available {
        true => Ok(()),
        false => Err(EncoderError::Memory { what: what.into(), needed: bytes, available }),
    }
}

/// Main memory, or what a container is allowed of it, with swap space. Where the system does not
/// say, all that has an address.
fn total() -> u64 {
    let table = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let addresses = isize::MAX as u64;
    let Some(memory) = kilobytes(&table, "MemTotal:") else { return addresses };
    let limits =
        LIMITS.into_iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let memory = limits.fold(memory, u64::min);
    memory.saturating_add(kilobytes(&table, "SwapTotal:").unwrap_or(0)).min(addresses)
}

/// The bytes that a line of /proc/meminfo says.
fn kilobytes(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_memory_is_read() {
        let table = "MemTotal:       24606388 kB\nMemFree:  1 kB\nSwapTotal:             0 kB\n";
        assert_eq!(kilobytes(table, "MemTotal:"), Some(24_606_388 * 1024));
        assert_eq!(kilobytes(table, "SwapTotal:"), Some(0));
        assert_eq!(kilobytes(table, "SwapFree:"), None);
    }

    #[test]
    fn what_no_machine_has_is_refused_with_both_sizes() {
        assert!(check("a number", 4).is_ok() && check("all that there is", total()).is_ok());
        let message = check("everything", u64::MAX).unwrap_err().to_string();
        assert!(
            message.starts_with("everything takes at least 18446744074 GB, ")
                && message.contains(" GB of memory"),
            "{message}"
        );
    }
}
