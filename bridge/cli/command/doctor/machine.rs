//! What can be seen of this machine without a bridge: configuration, interfaces, firewall, clock.
//!
//! Limits: the rules of a firewall are seen by root alone, and only as far as they are plain; what the bridge
//! hears of its own beacons says more (`bridge`).

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use zocp_daemon::config::{Config, ConfigError, Settings, search_path};

use super::{finding::Finding, holder::holders, probe};

/// Facts of this machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// The file that a bridge would read, if there is one.
    file: Option<PathBuf>,
    settings: Result<Settings, ConfigError>,
    /// The names of the network interfaces that are there.
    interfaces: Vec<String>,
    /// The rules of the firewall, as its program prints them.
    rules: Option<String>,
    /// Whether the port of the beacons is another program's alone.
    is_port_taken: bool,
    /// Who has it, as far as one may see.
    port_holders: Vec<String>,
    now: SystemTime,
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
            rules: rules(),
            is_port_taken: false,
            port_holders: Vec::new(),
            now: SystemTime::now(),
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

    /// Whether the mesh is to be this machine alone.
    pub(super) fn is_loopback(&self) -> bool {
        self.settings
            .as_ref()
            .is_ok_and(|settings| settings.node.loopback)
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.configuration()];
        findings.extend(self.interfaces());
        findings.push(self.firewall());
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

    fn firewall(&self) -> Finding {
        let port = self.beacon_port();
        let Some(rules) = &self.rules else {
            return Finding::unknown("firewall", "its rules are not to be seen; root sees them");
        };
        if let Some(rule) = rules.lines().find(|line| drops(line, port)) {
            let found = format!("a rule drops what the mesh may need: {}", rule.trim());
            return Finding::warning("firewall", found).advice(opening(port));
        }
        let keeps_out = rules.lines().any(is_closed);
        if !keeps_out || rules.contains(&port.to_string()) {
            return Finding::good("firewall", "no rule that keeps everything out");
        }
        let found =
            format!("what comes in is dropped unless a rule lets it, and none names {port}");
        Finding::warning("firewall", found).advice(opening(port))
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
        Finding::good("clock", "it may be right")
    }
}

/// How ports are opened with what firewalls usually have.
pub(super) fn opening(port: u16) -> String {
    format!(
        "let UDP port {port} and TCP from the nodes' network in: `ufw allow {port}/udp`, `firewall-cmd \
         --add-port={port}/udp`, and for TCP all of the network, `ufw allow from 10.0.0.0/24`: the port of a \
         node is another at each start"
    )
}

/// Whether a line of rules drops whatever comes in and is not named.
fn is_closed(line: &str) -> bool {
    let line = line.trim();
    let nft = line.contains("hook input") && line.contains("policy drop");
    nft || line == "-P INPUT DROP" || line == "-A INPUT -j DROP" || line == "-A INPUT -j REJECT"
}

/// Whether a line of rules drops beacons, or TCP to more ports than one.
fn drops(line: &str, port: u16) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let has_verdict = ["drop", "reject", "DROP", "REJECT"].into_iter().any(has);
    let mut after = words.iter().skip_while(|word| !word.ends_with("dport"));
    let ports = after.nth(1).map(|word| word.trim_matches(['{', '}', ',']));
    let is_of_many = match ports.and_then(|ports| ports.split_once(['-', ':'])) {
        Some((_, last)) => last.parse::<u16>().is_ok_and(|last| last >= EPHEMERAL),
        None => ports.is_none(),
    };
    let is_beacon = has("udp") && has(&port.to_string());
    has_verdict && (is_beacon || (has("tcp") && is_of_many))
}

fn is_of_key(error: &ConfigError) -> bool {
    match error {
        ConfigError::InFile { key, .. } | ConfigError::Invalid { key, .. } => {
            matches!(*key, "mesh.key" | "mesh.trusted")
        }
        _ => false,
    }
}

/// The rules as `nft` or `iptables` prints them; `None` where neither does.
fn rules() -> Option<String> {
    let print = |program: &str, arguments: &[&str]| {
        let place = ["/usr/sbin", "/sbin", "/usr/bin"]
            .iter()
            .map(|place| Path::new(place).join(program))
            .find(|file| file.exists())?;
        let mut command = Command::new(place);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let printed = command
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&printed.stdout).into_owned())
    };
    print("nft", &["list", "ruleset"]).or_else(|| print("iptables", &["-S", "INPUT"]))
}

/// 36/ZRE.
const BEACON_PORT: u16 = 5670;
/// Where Linux begins to give ports to who names none, as nodes do.
const EPHEMERAL: u16 = 32_768;
/// The beginning of 2025: no machine that has this program was set before.
const RELEASED: Duration = Duration::from_secs(1_735_689_600);

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    fn machine(config: &str, rules: Option<&str>) -> Machine {
        let config = Config::parse(config).unwrap();
        Machine {
            file: None,
            settings: config.check(),
            interfaces: vec!["eth0".to_owned(), "lo".to_owned()],
            rules: rules.map(str::to_owned),
            is_port_taken: false,
            port_holders: Vec::new(),
            now: SystemTime::UNIX_EPOCH + RELEASED * 2,
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
            verdicts(&machine("", Some(""))),
            [good("configuration"), good("firewall"), good("clock")]
        );
    }

    #[test]
    fn an_interface_that_is_not_there_is_a_problem() {
        let named = machine("[mesh]\ninterface = ['wlan7', '10.0.0.1']", Some(""));
        assert!(verdicts(&named).contains(&("interface", Verdict::Problem)));
        let named = machine("[mesh]\ninterface = ['eth0']", Some(""));
        assert!(verdicts(&named).contains(&("interface", Verdict::Good)));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_told_as_that() {
        let keyed = machine("[mesh]\nkey = '/nonexistent/key'", Some(""));
        assert!(verdicts(&keyed).contains(&("key", Verdict::Problem)));
        let slip = machine("[mesh]\nport = 0", Some(""));
        assert!(verdicts(&slip).contains(&("configuration", Verdict::Problem)));
    }

    #[test]
    fn a_port_that_another_program_has_for_itself_is_a_problem() {
        let mut taken = machine("", Some(""));
        taken.is_port_taken = true;
        assert!(verdicts(&taken).contains(&("port", Verdict::Problem)));
    }

    #[test]
    fn a_rule_that_drops_beacons_or_tcp_is_warned_of() {
        for rule in [
            "udp dport 5670 drop",
            "-A INPUT -p udp -m udp --dport 5670 -j DROP",
            "tcp dport 1024-65535 ct state new drop",
            "oif != \"lo\" tcp flags syn / syn,ack drop",
            "-A OUTPUT -p tcp -j REJECT",
        ] {
            assert!(
                verdicts(&machine("", Some(rule))).contains(&("firewall", Verdict::Warning)),
                "{rule}"
            );
        }
        for rule in [
            "tcp dport 25 drop",
            "udp dport 5353 drop",
            "udp dport 5670 accept",
            "tcp dport 1-1023 reject",
            "-A INPUT -p tcp -m tcp --dport 25 -j DROP",
        ] {
            assert!(
                verdicts(&machine("", Some(rule))).contains(&("firewall", Verdict::Good)),
                "{rule}"
            );
        }
    }

    #[test]
    fn a_firewall_that_drops_what_it_does_not_name_is_warned_of() {
        let nft = "chain input {\n type filter hook input priority 0; policy drop;\n tcp dport 22 accept\n}";
        assert!(verdicts(&machine("", Some(nft))).contains(&("firewall", Verdict::Warning)));
        let opened = format!("{nft}\nudp dport 5670 accept");
        assert!(verdicts(&machine("", Some(&opened))).contains(&("firewall", Verdict::Good)));
        assert!(verdicts(&machine("", None)).contains(&("firewall", Verdict::Unknown)));
        let iptables = "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT";
        assert!(verdicts(&machine("", Some(iptables))).contains(&("firewall", Verdict::Warning)));
    }
}
