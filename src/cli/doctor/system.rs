//! What Linux tells about the machine in `/proc` and `/sys`; what is missing there is left out.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// A video device.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Camera {
    pub(super) device: String,
    pub(super) name: Option<String>,
}

/// A temperature sensor.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Temperature {
    pub(super) sensor: String,
    pub(super) celsius: f32,
}

/// The machine, as far as it tells.
#[derive(Debug, Default, Serialize)]
pub(super) struct System {
    pub(super) machine: Option<String>,
    pub(super) memory_mib: Option<u64>,
    pub(super) memory_available_mib: Option<u64>,
    pub(super) governor: Option<String>,
    pub(super) clock_mhz: Option<u64>,
    pub(super) clock_max_mhz: Option<u64>,
    pub(super) cameras: Vec<Camera>,
    pub(super) temperatures: Vec<Temperature>,
    /// Reasons why the processor runs, or ran, slower than it could.
    pub(super) throttling: Vec<String>,
    /// Whether the system tells about throttling at all.
    pub(super) throttling_known: bool,
}

impl System {
    /// Reads the files below `root`, which is `/` but in tests.
    pub(super) fn read(root: &Path) -> Self {
        let text = |path: &str| read(&root.join(path));
        let khz = |name: &str| {
            let path = format!("sys/devices/system/cpu/cpu0/cpufreq/{name}");
            text(&path).and_then(|t| t.parse::<u64>().ok()).map(|khz| khz / 1000)
        };
        let meminfo = text("proc/meminfo").unwrap_or_default();
        let mut system = System {
            machine: text("proc/device-tree/model")
                .or_else(|| field(&text("proc/cpuinfo")?, "model name").map(str::to_owned)),
            memory_mib: mib(&meminfo, "MemTotal"),
            memory_available_mib: mib(&meminfo, "MemAvailable"),
            governor: text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock_mhz: khz("scaling_cur_freq"),
            clock_max_mhz: khz("cpuinfo_max_freq"),
            cameras: cameras(root),
            temperatures: temperatures(root),
            ..System::default()
        };
        system.read_throttling(root);
        system
    }

    fn read_throttling(&mut self, root: &Path) {
        let pi = root.join("sys/devices/platform/soc/soc:firmware/get_throttled");
        if let Some(bits) =
            read(&pi).and_then(|t| u32::from_str_radix(t.trim_start_matches("0x"), 16).ok())
        {
            self.throttling_known = true;
            self.throttling.extend(raspberry_pi_throttling(bits));
        }
        for cpu in entries(&root.join("sys/devices/system/cpu")) {
            let count = root
                .join("sys/devices/system/cpu")
                .join(&cpu)
                .join("thermal_throttle/core_throttle_count");
            if let Some(count) = read(&count).and_then(|t| t.parse::<u64>().ok()) {
                self.throttling_known = true;
                if count > 0 {
                    self.throttling.push(format!("{cpu} was slowed down {count} times by heat"));
                }
            }
        }
    }
}

/// The bits of the firmware's `get_throttled` (Raspberry Pi documentation, `vcgencmd`).
fn raspberry_pi_throttling(bits: u32) -> impl Iterator<Item = String> {
    [
        (0, "the supply voltage is too low now"),
        (1, "the clock is limited now"),
        (2, "the processor is slowed down now"),
        (3, "the soft temperature limit is reached now"),
        (16, "the supply voltage was too low since the start"),
        (17, "the clock was limited since the start"),
        (18, "the processor was slowed down since the start"),
        (19, "the soft temperature limit was reached since the start"),
    ]
    .into_iter()
    .filter(move |(bit, _)| bits >> bit & 1 == 1)
    .map(|(_, text)| text.to_owned())
}

fn cameras(root: &Path) -> Vec<Camera> {
    entries(&root.join("dev"))
        .into_iter()
        .filter(|name| name.strip_prefix("video").is_some_and(|n| n.parse::<u32>().is_ok()))
        .map(|name| Camera {
            name: read(&root.join("sys/class/video4linux").join(&name).join("name")),
            device: format!("/dev/{name}"),
        })
        .collect()
}

fn temperatures(root: &Path) -> Vec<Temperature> {
    let thermal = root.join("sys/class/thermal");
    entries(&thermal)
        .into_iter()
        .filter(|name| name.starts_with("thermal_zone"))
        .filter_map(|zone| {
            let millis: i32 = read(&thermal.join(&zone).join("temp"))?.parse().ok()?;
            let sensor = read(&thermal.join(&zone).join("type")).unwrap_or(zone);
            Some(Temperature { sensor, celsius: millis as f32 / 1000.0 })
        })
        .collect()
}

/// A `key : value` or `key: value kB` line's value.
fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn mib(meminfo: &str, key: &str) -> Option<u64> {
    let kib: u64 = field(meminfo, key)?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// The text of a small file without blanks and the zero that the device tree puts at an end.
fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Names in a folder, `video2` before `video10`.
fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> System {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        System::read(root.path())
    }

    #[test]
    fn a_raspberry_pi_is_described() {
        let pi = machine(&[
            ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
            ("proc/meminfo", "MemTotal:        8245348 kB\nMemAvailable:    7000000 kB\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "2400000\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "61450\n"),
            ("sys/class/video4linux/video0/name", "unicam-image\n"),
            ("dev/video10", ""),
            ("dev/video0", ""),
            ("dev/videotape", ""),
            ("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n"),
        ]);
        assert_eq!(pi.machine.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!((pi.memory_mib, pi.memory_available_mib), (Some(8052), Some(6835)));
        assert_eq!((pi.clock_mhz, pi.clock_max_mhz), (Some(1500), Some(2400)));
        assert_eq!(pi.governor.as_deref(), Some("ondemand"));
        let cameras: Vec<_> = pi.cameras.iter().map(|c| (&*c.device, c.name.as_deref())).collect();
        assert_eq!(cameras, [("/dev/video0", Some("unicam-image")), ("/dev/video10", None)]);
        let heat = Temperature { sensor: "cpu-thermal".into(), celsius: 61.45 };
        assert_eq!(pi.temperatures, [heat]);
        assert_eq!(pi.throttling.len(), 4, "{:?}", pi.throttling);
        assert!(pi.throttling[0].contains("voltage is too low now"));
    }

    #[test]
    fn heat_on_a_pc_is_told_per_processor() {
        let count = "thermal_throttle/core_throttle_count";
        let pc = machine(&[
            ("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n"),
            (&format!("sys/devices/system/cpu/cpu0/{count}"), "0\n"),
            (&format!("sys/devices/system/cpu/cpu1/{count}"), "7\n"),
        ]);
        assert_eq!(pc.machine.as_deref(), Some("Some CPU @ 3 GHz"));
        assert!(pc.throttling_known);
        assert_eq!(pc.throttling, ["cpu1 was slowed down 7 times by heat"]);
    }

    #[test]
    fn a_machine_that_tells_nothing_is_no_error() {
        let none = machine(&[("proc/meminfo", "nonsense"), ("dev/video", "")]);
        assert!(none.machine.is_none() && none.memory_mib.is_none() && none.cameras.is_empty());
        assert!(!none.throttling_known);
    }
}
