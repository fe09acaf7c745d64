//! Figures of the process and of the machine, as far as the system tells them.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::text::Text;
use crate::watch::temperature;

pub(super) fn render(text: &mut Text, begun: Instant) {
    if let Some(celsius) = temperature() {
        text.gauge("tipcam_temperature_celsius", "Temperature of the hottest part.", celsius);
    }
    let status = fs::read_to_string("/proc/self/status");
    if let Some(bytes) = status.ok().and_then(|status| resident(&status)) {
        text.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", bytes);
    }
    // counted back from now: a board's clock may have been set long after the start
    let start = SystemTime::now().checked_sub(begun.elapsed()).unwrap_or(UNIX_EPOCH);
    let seconds = start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    text.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        seconds,
    );
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(resident("VmPeak:\t 9 kB\n"), None);
    }
}
