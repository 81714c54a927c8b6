//! What can be seen of this machine without a bridge: configuration, interfaces, firewall, clock.
//!
//! Not here: what firewalls say (`firewall`).

use std::{
    fs,
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use zocp_daemon::config::{Config, ConfigError, Settings, search_path};
use zocp_srv::SrvName;

use super::{finding::Finding, firewall::Firewall, holder::holders, probe, run::printed};

/// Facts of this machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// The file that a bridge would read, if there is one.
    file: Option<PathBuf>,
    settings: Result<Settings, ConfigError>,
    /// The names of the network interfaces that are there.
    interfaces: Vec<String>,
    firewall: Firewall,
    /// Whether the port of the beacons is another program's alone.
    is_port_taken: bool,
    /// Who has it, as far as one may see.
    port_holders: Vec<String>,
    now: SystemTime,
    /// Whether the clock follows others, by NTP; `None` where nobody says so.
    is_synchronized: Option<bool>,
}

impl Machine {
    pub(super) fn look(file: Option<PathBuf>) -> Self {
        let directory = |variable| std::env::var_os(variable).map(PathBuf::from);
        let places = search_path(directory("XDG_CONFIG_HOME"), directory("HOME"));
        let file = file.or_else(|| places.into_iter().find(|place| place.exists()));
        let config = file
            .as_deref()
            .map_or_else(|| Ok(Config::default()), Config::read);
        let entries = fs::read_dir("/sys/class/net").into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut interfaces: Vec<String> = names
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        interfaces.sort();
        let mut machine = Self {
            file,
            settings: config.and_then(Config::check),
            interfaces,
            firewall: Firewall::look(),
            is_port_taken: false,
            port_holders: Vec::new(),
            now: SystemTime::now(),
            is_synchronized: is_synchronized(),
        };
        machine.is_port_taken = probe::is_taken(machine.beacon_port());
        if machine.is_port_taken {
            machine.port_holders = holders(machine.beacon_port());
        }
        machine
    }

    /// The port of the beacons, as far as it is known.
    pub(super) fn beacon_port(&self) -> u16 {
        match &self.settings {
            Ok(settings) => settings.node.beacon_port.unwrap_or(BEACON_PORT),
            Err(_) => BEACON_PORT,
        }
    }

    /// Whether the configuration asks for a secure mesh; `None` where it says nothing.
    pub(super) fn is_secure(&self) -> Option<bool> {
        let settings = self.settings.as_ref().ok()?;
        Some(settings.node.security.is_some())
    }

    /// The names by which DNS tells of peers.
    pub(super) fn srv(&self) -> &[SrvName] {
        self.settings.as_ref().map_or(&[], |settings| &settings.srv)
    }

    /// Whether the key is for links to other venues alone.
    pub(super) fn has_key_for_links(&self) -> bool {
        self.settings
            .as_ref()
            .is_ok_and(|settings| settings.has_key_for_links())
    }

    /// Whether the mesh is to be this machine alone.
    pub(super) fn is_loopback(&self) -> bool {
        self.settings
            .as_ref()
            .is_ok_and(|settings| settings.node.loopback)
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.configuration()];
        findings.extend(self.interfaces());
        findings.push(self.firewall.finding(self.beacon_port()));
        findings.extend(self.port());
        findings.push(self.clock());
        findings
    }

    fn configuration(&self) -> Finding {
        match (&self.settings, &self.file) {
            (Ok(_), Some(file)) => Finding::good("configuration", file.display().to_string()),
            (Ok(_), None) => Finding::good("configuration", "no file; the defaults hold"),
            (Err(error), _) => {
                let check = if is_of_key(error) {
                    "key"
                } else {
                    "configuration"
                };
                let advice = if check == "key" {
                    "a key is made with `zocp key new FILE`; its file belongs to the bridge's user and nobody \
                     else reads it: chmod 600"
                } else {
                    "a bridge does not start with it, and one that runs does not follow it"
                };
                Finding::problem(check, error.to_string()).advice(advice)
            }
        }
    }

    /// Those that the configuration names.
    fn interfaces(&self) -> Option<Finding> {
        let named = &self.settings.as_ref().ok()?.node.interfaces;
        let is_missing =
            |name: &&String| name.parse::<IpAddr>().is_err() && !self.interfaces.contains(name);
        let missing: Vec<&str> = named
            .iter()
            .filter(is_missing)
            .map(String::as_str)
            .collect();
        match (missing.is_empty(), named.is_empty()) {
            (_, true) => None,
            (true, false) => Some(Finding::good("interface", named.join(", "))),
            (false, false) => {
                let found = format!("there is no {}", missing.join(" and no "));
                let there = self.interfaces.join(", ");
                let advice = format!("`mesh.interface` names it; there are: {there}");
                Some(Finding::problem("interface", found).advice(advice))
            }
        }
    }

    fn port(&self) -> Option<Finding> {
        let port = self.beacon_port();
        let holder = match &self.port_holders[..] {
            [] => String::from("another program"),
            holders => holders.join(" and "),
        };
        let found = format!("{holder} has UDP port {port}, which beacons come to, for itself");
        let advice = format!(
            "end that one, `ss -ulpn sport = :{port}` shows which it is, or have all nodes use another port: \
             `mesh.port`"
        );
        self.is_port_taken
            .then(|| Finding::problem("port", found).advice(advice))
    }

    fn clock(&self) -> Finding {
        let is_old = self.now < SystemTime::UNIX_EPOCH + RELEASED;
        if is_old {
            let advice = "have it set, for instance by `timedatectl set-ntp true`: times in logs and captures \
                          are compared between machines";
            return Finding::warning("clock", "it is behind the age of this program")
                .advice(advice);
        }
        match self.is_synchronized {
            Some(true) => Finding::good("clock", "it follows others (NTP)"),
            Some(false) => Finding::warning("clock", "it does not follow others: NTP is off, or no server answers")
                .advice(
                    "`timedatectl set-ntp true`: with clocks that differ, times in logs and captures cannot be compared, \
                     and bundles of OSC come at the wrong time",
                ),
            None => Finding::good("clock", "it may be right"),
        }
    }
}

/// What systemd says of the clock.
fn is_synchronized() -> Option<bool> {
    let show = ["show", "--property=NTPSynchronized", "--value"];
    match printed("timedatectl", &show).ok()?.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn is_of_key(error: &ConfigError) -> bool {
    match error {
        ConfigError::InFile { key, .. } | ConfigError::Invalid { key, .. } => {
            matches!(*key, "mesh.key" | "mesh.trusted")
        }
        _ => false,
    }
}

/// 36/ZRE.
const BEACON_PORT: u16 = 5670;
/// The beginning of 2025: no machine that has this program was set before.
const RELEASED: Duration = Duration::from_secs(1_735_689_600);

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    fn machine(config: &str) -> Machine {
        let config = Config::parse(config).unwrap();
        Machine {
            file: None,
            settings: config.check(),
            interfaces: vec!["eth0".to_owned(), "lo".to_owned()],
            firewall: Firewall::with_rules(""),
            is_port_taken: false,
            port_holders: Vec::new(),
            now: SystemTime::UNIX_EPOCH + RELEASED * 2,
            is_synchronized: Some(true),
        }
    }

    fn verdicts(machine: &Machine) -> Vec<(&'static str, Verdict)> {
        let findings = machine.findings();
        findings
            .iter()
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }

    #[test]
    fn a_machine_as_it_should_be_is_good() {
        let good = |check| (check, Verdict::Good);
        assert_eq!(
            verdicts(&machine("")),
            [good("configuration"), good("firewall"), good("clock")]
        );
    }

    #[test]
    fn a_clock_that_follows_nobody_is_warned_of() {
        let mut alone = machine("");
        alone.is_synchronized = Some(false);
        assert!(verdicts(&alone).contains(&("clock", Verdict::Warning)));
        alone.is_synchronized = None;
        assert!(verdicts(&alone).contains(&("clock", Verdict::Good)));
    }

    #[test]
    fn an_interface_that_is_not_there_is_a_problem() {
        let named = machine("[mesh]\ninterface = ['wlan7', '10.0.0.1']");
        assert!(verdicts(&named).contains(&("interface", Verdict::Problem)));
        let named = machine("[mesh]\ninterface = ['eth0']");
        assert!(verdicts(&named).contains(&("interface", Verdict::Good)));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_told_as_that() {
        let keyed = machine("[mesh]\nkey = '/nonexistent/key'");
        assert!(verdicts(&keyed).contains(&("key", Verdict::Problem)));
        let slip = machine("[mesh]\nport = 0");
        assert!(verdicts(&slip).contains(&("configuration", Verdict::Problem)));
    }

    #[test]
    fn a_port_that_another_program_has_for_itself_is_a_problem() {
        let mut taken = machine("");
        taken.is_port_taken = true;
        assert!(verdicts(&taken).contains(&("port", Verdict::Problem)));
    }
}
