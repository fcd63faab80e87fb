//! Memory that is asked for before it is taken: a size that came from a file or a person may be any number.

use crate::FieldError;
use std::path::Path;

/// Where the kernel shows control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// Memory that this process could still have in bytes, where the system tells: the machine's, or what is left of the
/// limits of its control groups, as containers and job managers set them, if that is less.
#[must_use]
pub fn available_memory_bytes() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    machine.into_iter().chain(group_folders(&groups).iter().filter_map(|folder| group_bytes(folder))).min()
}

/// Checks that `needed` bytes can be had for `what`, before they are taken: a failed allocation ends the process.
///
/// # Errors
/// [`FieldError::Memory`] if the system has less.
pub fn check_memory(what: impl std::fmt::Display, needed: u128) -> Result<(), FieldError> {
    let available = available_memory_bytes();
    let enough = available.is_none_or(|available| needed <= u128::from(available));
    // Where the system does not tell, it may still refuse.
    let granted = || usize::try_from(needed).is_ok_and(|n| Vec::<u8>::new().try_reserve_exact(n).is_ok());
    if enough && granted() {
        return Ok(());
    }
    Err(FieldError::Memory { what: what.to_string(), needed, available })
}

/// `MemAvailable` of `/proc/meminfo`.
fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Folders of the control groups that this process is in, by `/proc/self/cgroup`: its own and those around it.
fn group_folders(groups: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        // HIERARCHY:CONTROLLERS:PATH; version 2 has one hierarchy, which names no controller.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => GROUPS.to_owned(),
            _ if controllers.split(',').any(|name| name == "memory") => format!("{GROUPS}/memory"),
            _ => continue,
        };
        // In a container the path may be that of the host, and the group's own folder is the root.
        folders.extend(Path::new(path).ancestors().map(|at| format!("{root}{}", at.display())));
    }
    folders
}

/// What is left of a group's limit, if it has one.
fn group_bytes(folder: &str) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        std::fs::read_to_string(Path::new(folder).join(name)).ok()?.trim().parse().ok()
    };
    let (limit, used) = match number("memory.max") {
        Some(limit) => (limit, number("memory.current")?),
        None => (number("memory.limit_in_bytes")?, number("memory.usage_in_bytes")?),
    };
    let statistics = std::fs::read_to_string(Path::new(folder).join("memory.stat")).unwrap_or_default();
    Some(limit.saturating_sub(used.saturating_sub(cached_bytes(&statistics))))
}

/// What the group's files hold in memory that the kernel gives back when it is needed.
fn cached_bytes(statistics: &str) -> u64 {
    let value = |name: &str| {
        let line = statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    };
    value("total_inactive_file").or_else(|| value("inactive_file")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error_with_both_numbers() {
        assert_eq!(check_memory("nothing", 0), Ok(()));
        assert_eq!(check_memory("a page", 4096), Ok(()));
        let error = check_memory("a grid of 10^18 cells", 8 * 10u128.pow(18)).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("a grid of 10^18 cells needs 8.00 EB of memory"), "{text}");
        assert!(check_memory("all", u128::MAX).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_what_is_available() {
        assert!(available_memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn the_kernels_files_are_understood() {
        let meminfo = "MemTotal:       24532020 kB\nMemAvailable:   23456789 kB\n";
        assert_eq!(machine_bytes(meminfo), Some(23_456_789 * 1024));
        assert_eq!(machine_bytes("MemAvailable: many kB"), None);
        assert_eq!(
            group_folders("0::/user.slice/job"),
            ["/sys/fs/cgroup/user.slice/job", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/"]
        );
        assert_eq!(
            group_folders("4:cpu:/a\n3:memory,hugetlb:/a\n"),
            ["/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory/"]
        );
        assert_eq!(cached_bytes("anon 5\ninactive_file 4096\n"), 4096);
        assert_eq!(cached_bytes("inactive_file 1\ntotal_inactive_file 7\n"), 7);
    }

    #[test]
    fn a_groups_limit_counts_less_what_it_uses_and_cannot_give_back() {
        let folder = std::env::temp_dir().join(format!("finescale-group-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        let left = || group_bytes(folder.to_str().unwrap());
        assert_eq!(left(), None);
        write("memory.max", "max\n");
        assert_eq!(left(), None);
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        assert_eq!(left(), Some(300));
        write("memory.stat", "inactive_file 100\n");
        assert_eq!(left(), Some(400));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
