//! What the firewalls of this machine let in, as far as one may see.
//!
//! Model: [`Firewall`] is what the programs and files of firewalls say. firewalld tells of its zones, which its rules
//! alone do not show; of ufw everybody sees whether it is on, and root its rules, among all rules.
//! Limits: rules are understood as far as they are plain; what the bridge hears of its own beacons says more (`bridge`).

use std::fs;

use super::{
    finding::Finding,
    run::{Unprinted, printed},
};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Firewall {
    /// The rules as `nft` or `iptables` prints them; `None` where neither does.
    rules: Option<String>,
    firewalld: Firewalld,
    /// Whether ufw is on, and keeps out what no rule allows.
    is_ufw_on: bool,
}

/// What firewalld says.
#[derive(Debug, Default)]
enum Firewalld {
    /// It does not run.
    #[default]
    Off,
    /// It runs, and does not tell this user.
    Hidden,
    /// The zone of interfaces that are in none, and all zones as `firewall-cmd --list-all-zones` prints them.
    Zones(String, String),
}

impl Firewall {
    pub(super) fn look() -> Self {
        let rules = printed("nft", &["list", "ruleset"]);
        let rules = rules.or_else(|_| printed("iptables", &["-S"]));
        Self {
            rules: rules.ok(),
            firewalld: Firewalld::look(),
            is_ufw_on: is_ufw_on(
                &fs::read_to_string("/etc/ufw/ufw.conf").unwrap_or_default(),
                &fs::read_to_string("/etc/default/ufw").unwrap_or_default(),
            ),
        }
    }

    #[cfg(test)]
    pub(super) fn with_rules(rules: &str) -> Self {
        Self {
            rules: Some(rules.to_owned()),
            ..Self::default()
        }
    }

    pub(super) fn finding(&self, port: u16) -> Finding {
        let rules = self.rules.as_deref().unwrap_or_default();
        if let Some(rule) = rules.lines().find(|line| drops(line, port)) {
            let found = format!("a rule drops what the mesh may need: {}", rule.trim());
            return Finding::warning("firewall", found).advice(opening(port));
        }
        if let Some(finding) = self.firewalld.finding(port) {
            return finding;
        }
        if self.rules.is_none() && self.is_ufw_on {
            let found = "ufw is on, and keeps out what none of its rules allows; root sees them";
            return Finding::unknown("firewall", found).advice("`sudo zocp doctor`");
        }
        if self.rules.is_none() {
            return Finding::unknown("firewall", "its rules are not to be seen; root sees them");
        }
        if !rules.lines().any(is_closed) || names(rules, port) {
            return Finding::good("firewall", "no rule that keeps everything out");
        }
        let whose = if self.is_ufw_on { " (ufw)" } else { "" };
        let found =
            format!("what comes in is dropped unless a rule lets it{whose}, and none names {port}");
        Finding::warning("firewall", found).advice(opening(port))
    }
}

impl Firewalld {
    fn look() -> Self {
        match printed("firewall-cmd", &["--get-default-zone"]) {
            Ok(default) => match printed("firewall-cmd", &["--list-all-zones"]) {
                Ok(zones) => Self::Zones(default.trim().to_owned(), zones),
                Err(_) => Self::Hidden,
            },
            Err(Unprinted::Failed(Some(NOT_AUTHORIZED))) => Self::Hidden,
            Err(_) => Self::Off,
        }
    }

    /// What it keeps out, or that it does not tell; `None` where it lets the mesh in.
    fn finding(&self, port: u16) -> Option<Finding> {
        let (default, text) = match self {
            Self::Off => return None,
            Self::Hidden => {
                let found = "firewalld is on, and does not tell this user what it lets in";
                return Some(Finding::unknown("firewall", found).advice("`sudo zocp doctor`"));
            }
            Self::Zones(default, text) => (default, text),
        };
        let zones = zones(text);
        let is_any_active = zones.iter().any(|zone| zone.is_active);
        let is_meant = |zone: &&Zone<'_>| match is_any_active {
            true => zone.is_active,
            false => zone.name == default,
        };
        let mut meant = zones.iter().filter(is_meant);
        let (zone, missing) = meant.find_map(|zone| Some((zone.name, zone.missing(port)?)))?;
        let found = format!("the zone {zone} of firewalld keeps {missing} out");
        let advice = format!(
            "`firewall-cmd --zone={zone} --add-port={port}/udp`, and TCP of the nodes' network, \
             `firewall-cmd --zone=trusted --add-source=10.0.0.0/24`; with --permanent it stays so"
        );
        Some(Finding::warning("firewall", found).advice(advice))
    }
}

/// A zone of firewalld: what comes in through some interfaces, or from some addresses.
#[derive(Debug, Default)]
struct Zone<'a> {
    name: &'a str,
    is_active: bool,
    accepts_all: bool,
    /// `5670/udp`, `49152-65535/tcp`.
    ports: Vec<&'a str>,
}

impl Zone<'_> {
    /// What of the mesh does not come in.
    fn missing(&self, port: u16) -> Option<String> {
        if self.accepts_all {
            return None;
        }
        let range = |text: &str| -> Option<(u16, u16)> {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let of = |kind: &str| {
            let ports = self.ports.iter();
            let ports = ports.filter_map(|text| text.strip_suffix(kind).and_then(range));
            ports.collect::<Vec<_>>()
        };
        if !of("/udp")
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port))
        {
            return Some(format!("UDP port {port}"));
        }
        let is_tcp_in = of("/tcp").iter().any(|(_, last)| *last >= UNPRIVILEGED);
        (!is_tcp_in).then(|| "TCP to ports of nodes".to_owned())
    }
}

/// The zones as they are printed: a name, and below it lines of a key and values.
fn zones(text: &str) -> Vec<Zone<'_>> {
    let mut zones: Vec<Zone<'_>> = Vec::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            let Some(name) = line.split_whitespace().next() else {
                continue;
            };
            zones.push(Zone {
                name,
                is_active: line.contains("active"),
                ..Zone::default()
            });
            continue;
        }
        let (Some(zone), Some((key, values))) = (zones.last_mut(), line.split_once(':')) else {
            continue;
        };
        match key.trim() {
            "target" => zone.accepts_all = values.trim() == "ACCEPT",
            "ports" => zone.ports = values.split_whitespace().collect(),
            _ => {}
        }
    }
    zones
}

/// Whether ufw is on and keeps out what no rule allows, by its two files, which everybody reads.
fn is_ufw_on(main: &str, defaults: &str) -> bool {
    let says = |text: &str, line: &str| text.lines().any(|it| it.trim().replace('"', "") == line);
    says(main, "ENABLED=yes") && !says(defaults, "DEFAULT_INPUT_POLICY=ACCEPT")
}

/// Whether rules name a port.
fn names(rules: &str, port: u16) -> bool {
    let port = port.to_string();
    let mut words = rules.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| word == port)
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

/// The status of `firewall-cmd` where polkit says no.
const NOT_AUTHORIZED: i32 = 253;
/// Where Linux begins to give ports to who names none, as nodes do.
const EPHEMERAL: u16 = 32_768;
/// Below are ports of services.
const UNPRIVILEGED: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    fn verdict(firewall: &Firewall) -> Verdict {
        firewall.finding(5670).verdict
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
                verdict(&Firewall::with_rules(rule)) == Verdict::Warning,
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
                verdict(&Firewall::with_rules(rule)) == Verdict::Good,
                "{rule}"
            );
        }
    }

    #[test]
    fn a_firewall_that_drops_what_it_does_not_name_is_warned_of() {
        let nft = "chain input {\n type filter hook input priority 0; policy drop;\n tcp dport 22 accept\n}";
        assert!(verdict(&Firewall::with_rules(nft)) == Verdict::Warning);
        let opened = format!("{nft}\nudp dport 5670 accept");
        assert!(verdict(&Firewall::with_rules(&opened)) == Verdict::Good);
        assert!(verdict(&Firewall::default()) == Verdict::Unknown);
        let iptables = "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT";
        assert!(verdict(&Firewall::with_rules(iptables)) == Verdict::Warning);
    }

    /// As firewall-cmd 1.3.3 prints it, with the ports of a zone that is active or not.
    fn firewalld(active: &str, target: &str, ports: &str) -> Firewall {
        let text = format!(
            "block\n  target: %%REJECT%%\n  ports: \n\n\
             public{active}\n  target: {target}\n  interfaces: eth9\n  ports: {ports}\n  rich rules: \n\n\
             trusted\n  target: ACCEPT\n  ports: \n"
        );
        Firewall {
            firewalld: Firewalld::Zones("public".to_owned(), text),
            ..Firewall::with_rules("reject with icmpx admin-prohibited")
        }
    }

    #[test]
    fn a_zone_of_firewalld_that_keeps_the_mesh_out_is_named() {
        for active in ["", " (active)", " (default, active)"] {
            let closed = firewalld(active, "default", "").finding(5670);
            assert_eq!(closed.verdict, Verdict::Warning);
            assert!(closed.found.contains("UDP port 5670"), "{closed:?}");
            assert!(closed.found.contains("zone public"), "{closed:?}");
            let half = firewalld(active, "default", "5670/udp 22/tcp").finding(5670);
            assert!(half.found.contains("TCP"), "{half:?}");
            for (target, ports) in [
                ("ACCEPT", ""),
                ("default", "5670/udp 49152-49160/tcp"),
                ("default", "5000-6000/udp 1024-65535/tcp"),
            ] {
                let open = firewalld(active, target, ports);
                assert_eq!(verdict(&open), Verdict::Good, "{open:?}");
            }
        }
    }

    #[test]
    fn one_who_may_not_see_is_told_which_firewall_is_on() {
        let hidden = Firewall {
            firewalld: Firewalld::Hidden,
            ..Firewall::default()
        };
        let hidden = hidden.finding(5670);
        assert_eq!(hidden.verdict, Verdict::Unknown);
        assert!(hidden.found.contains("firewalld is on"), "{hidden:?}");
        let defaults = "DEFAULT_INPUT_POLICY=\"DROP\"";
        assert!(!is_ufw_on("ENABLED=no", defaults));
        assert!(!is_ufw_on("ENABLED=yes", "DEFAULT_INPUT_POLICY=\"ACCEPT\""));
        let ufw = Firewall {
            is_ufw_on: is_ufw_on("ENABLED=yes\n", defaults),
            ..Firewall::default()
        };
        let ufw = ufw.finding(5670);
        assert_eq!(ufw.verdict, Verdict::Unknown);
        assert!(ufw.found.contains("ufw is on"), "{ufw:?}");
    }
}
