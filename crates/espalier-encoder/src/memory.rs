//! How much memory this machine has.

use crate::error::{EncoderError, Result};
use std::fs;

/// Files with the memory limit of a control group in bytes, in both versions of cgroups. Without a
/// limit they do not hold a number.
const CGROUP_LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Fails if `bytes` is more than the machine's memory; `what` names what needs them.
///
/// Success is no promise: less may be free than there is in total.
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

/// Main memory plus swap space in bytes, within the limit of the container. The whole address space
/// where the system does not tell.
fn total() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let address_space = isize::MAX as u64;
    let Some(memory) = meminfo_bytes(&meminfo, "MemTotal:") else { return address_space };
    let limits = CGROUP_LIMITS
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    let memory = limits.fold(memory, u64::min);
    let swap = meminfo_bytes(&meminfo, "SwapTotal:").unwrap_or(0);
    memory.saturating_add(swap).min(address_space)
}

/// The value of a line of /proc/meminfo, in bytes.
fn meminfo_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_parsed() {
        let table = "MemTotal:       24606388 kB\nMemFree:  1 kB\nSwapTotal:             0 kB\n";
        assert_eq!(meminfo_bytes(table, "MemTotal:"), Some(24_606_388 * 1024));
        assert_eq!(meminfo_bytes(table, "SwapTotal:"), Some(0));
        assert_eq!(meminfo_bytes(table, "SwapFree:"), None);
    }

    #[test]
    fn too_much_is_refused_with_both_sizes() {
        assert!(check("a number", 4).is_ok() && check("all that there is", total()).is_ok());
        let message = check("everything", u64::MAX).unwrap_err().to_string();
        assert!(
            message.starts_with("everything takes at least 18446744074 GB, ")
                && message.contains(" GB of memory"),
            "{message}"
        );
    }
}
