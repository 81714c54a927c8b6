//! What is understood, what is refused, and what goes over what.

use std::time::Duration;

use zocp_node::BeaconMode;

use super::*;

fn error_of(text: &str) -> String {
    match Config::parse(text) {
        Err(error) => error.to_string(),
        Ok(config) => config.check().expect_err("it must be refused").to_string(),
    }
}

#[test]
fn the_file_of_the_reference_is_understood() {
    let text = r#"
        [mesh]
        name = "stage"
        interface = ["eth0"]
        beacon = "multicast"
        port = 5671
        peers = ["tcp://10.0.0.7:49152"]
        groups = ["lights"]

        [bus]
        address = "system"

        [limits]
        peers_max = 10
        capabilities_max = 20
    "#;
    let settings = Config::parse(text).unwrap().check().unwrap();
    assert_eq!(settings.bus, BusChoice::System);
    assert_eq!(settings.node.name, "stage");
    assert_eq!(settings.node.interfaces, ["eth0"]);
    assert_eq!(settings.node.beacon, BeaconMode::Multicast);
    assert_eq!(settings.node.beacon_port(), 5671);
    assert_eq!(settings.node.peers, ["tcp://10.0.0.7:49152"]);
    assert_eq!(settings.node.groups, ["lights"]);
    assert_eq!(settings.node.limits.zre.peers_max, 10);
    assert_eq!(settings.node.limits.model.capabilities_max, 20);
}

#[test]
fn an_empty_file_is_the_defaults() {
    let settings = Config::parse("").unwrap().check().unwrap();
    assert_eq!(settings.bus, BusChoice::Auto);
    assert_eq!(settings.node.beacon_port(), 5670);
    assert_eq!(settings.node.silence_max, Duration::from_secs(30));
    assert!(!settings.node.name.is_empty(), "the host's name");
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_line() {
    let error = error_of("[mesh]\nname = \"a\"\nnmae = \"b\"\n");
    assert!(
        error.contains("line 3") && error.contains("nmae"),
        "{error}"
    );
    let error = error_of("[mash]\n");
    assert!(
        error.contains("line 1") && error.contains("mash"),
        "{error}"
    );
    let error = error_of("\n[limits]\nfoo = 1\n");
    assert!(error.contains("line 3") && error.contains("foo"), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_that_names_the_line() {
    let error = error_of("[mesh]\n\nport = \"many\"\n");
    assert!(error.contains("line 3"), "{error}");
    let error = error_of("[mesh]\nport = 70000\n");
    assert!(error.contains("line 2"), "{error}");
    let error = error_of("[mesh]\nbeacon = \"loud\"\n");
    assert!(
        error.contains("line 2") && error.contains("multicast"),
        "{error}"
    );
}

#[test]
fn a_key_makes_the_mesh_a_secure_one_on_a_port_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    let public = super::key::make(&file).unwrap();
    let text = format!(
        "[mesh]\nkey = '{}'\ntrusted = ['{public}']\npeers = ['tcp://a:1|{public}']\n",
        file.display()
    );
    let node = Config::parse(&text).unwrap().check().unwrap().node;
    let security = node.security.as_ref().unwrap();
    assert_eq!(security.keys.public(), public);
    assert_eq!(security.trusted, [public]);
    assert_eq!(node.beacon_port(), 5669);
    let chosen = format!("{text}port = 5670\n");
    let node = Config::parse(&chosen).unwrap().check().unwrap().node;
    assert_eq!(node.beacon_port(), 5670);
    for (wrong, key) in [
        (
            text.replace("trusted = ['", "trusted = ['x"),
            "mesh.trusted",
        ),
        (text.replace("|", "|x"), "mesh.peers"),
        (format!("[mesh]\ntrusted = ['{public}']\n"), "mesh.trusted"),
        (String::from("[mesh]\nkey = '/nowhere/key'\n"), "mesh.key"),
    ] {
        let error = Config::parse(&wrong).unwrap().check().unwrap_err();
        assert!(error.to_string().starts_with(key), "{error}");
    }
}

#[test]
fn a_value_that_cannot_be_meant_is_named_by_its_key() {
    let long = "x".repeat(256);
    for (text, key) in [
        (String::from("[mesh]\nname = \"\""), "mesh.name"),
        (String::from("[mesh]\nname = \"a\\u0000b\""), "mesh.name"),
        (
            String::from("[mesh]\ngroups = [\"a\\u0000\"]"),
            "mesh.groups",
        ),
        (format!("[mesh]\nname = \"{long}\""), "mesh.name"),
        (String::from("[mesh]\nport = 0"), "mesh.port"),
        (
            String::from("[mesh]\nmailbox_port = 0"),
            "mesh.mailbox_port",
        ),
        (
            String::from("[mesh]\nmailbox_port = '9-8'"),
            "mesh.mailbox_port",
        ),
        (
            String::from("[mesh]\nmailbox_port = -1"),
            "mesh.mailbox_port",
        ),
        (
            String::from("[statistics]\nprometheus = '0.0.0.0:9567'"),
            "statistics.prometheus",
        ),
        (
            String::from("[statistics]\nprometheus = '127.0.0.1'"),
            "statistics.prometheus",
        ),
        (String::from("[mesh]\npeers = [\"10.0.0.7\"]"), "mesh.peers"),
        (
            String::from("[mesh]\npeers = [\"tcp://10.0.0.7:0\"]"),
            "mesh.peers",
        ),
        (String::from("[mesh]\ngroups = [\"\"]"), "mesh.groups"),
        (String::from("[mesh]\nexpiry = -1.0"), "mesh.expiry"),
        (String::from("[mesh]\nexpiry = nan"), "mesh.expiry"),
        (String::from("[mesh]\nexpiry = 2"), "mesh.expiry"),
        (String::from("[mesh]\nevasive = 1e300"), "mesh.evasive"),
        (String::from("[bus]\naddress = \"sesion\""), "bus.address"),
        (String::from("[limits]\npeers_max = 0"), "limits.peers_max"),
        (
            String::from("[limits]\nhandshake_max = 0"),
            "limits.handshake_max",
        ),
    ] {
        let error = error_of(&text);
        assert!(error.starts_with(key), "{text}: {error}");
    }
}

#[test]
fn a_mailbox_port_is_a_number_or_a_range() {
    for (text, ports) in [
        ("49152", "49152"),
        ("'49152'", "49152"),
        ("'49152-49160'", "49152-49160"),
    ] {
        let config = Config::parse(&format!("[mesh]\nmailbox_port = {text}\n")).unwrap();
        let node = config.check().unwrap().node;
        assert_eq!(node.mailbox_ports.unwrap().to_string(), ports);
    }
    let error = error_of("[mesh]\nmailbox_port = [1]\n");
    assert!(error.contains("a port, or a range"), "{error}");
    assert_eq!(Config::default().check().unwrap().node.mailbox_ports, None);
}

#[test]
fn an_expiry_that_is_too_short_is_named_with_what_it_must_exceed() {
    let error = error_of("[mesh]\nexpiry = 2\nevasive = 2.5\n");
    assert_eq!(
        error,
        "mesh.expiry: 2s must be more than mesh.evasive, 2.5s"
    );
    let error = error_of("[mesh]\nexpiry = 3\n");
    assert!(error.ends_with("mesh.evasive, 5s"), "the default: {error}");
}

#[test]
fn what_is_above_goes_over_what_is_below_key_by_key() {
    let above = Config::parse("[mesh]\nname = \"flag\"\n").unwrap();
    let below =
        Config::parse("[mesh]\nname = \"file\"\nport = 1234\n[limits]\npeers_max = 7\n").unwrap();
    let both = above.over(below);
    assert_eq!(both.mesh.name.as_deref(), Some("flag"));
    assert_eq!(both.mesh.port, Some(1234));
    assert_eq!(both.limits.peers_max, Some(7));
}

#[test]
fn the_file_is_looked_for_where_the_user_and_then_the_machine_keeps_it() {
    let path = |text: &str| Some(PathBuf::from(text));
    let user = Path::new("/home/u/.config/zocp/bridge.toml");
    let system = Path::new("/etc/zocp/bridge.toml");
    assert_eq!(search_path(None, path("/home/u")), [user, system]);
    assert_eq!(
        search_path(path("/x"), path("/home/u")),
        [Path::new("/x/zocp/bridge.toml"), system]
    );
    assert_eq!(search_path(path(""), path("/home/u")), [user, system]);
    assert_eq!(search_path(None, None), [system]);
}

#[test]
fn a_file_that_is_not_there_is_the_default_but_not_when_it_was_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("none.toml");
    assert_eq!(
        Config::find(std::slice::from_ref(&missing)).unwrap(),
        Config::default()
    );
    let error = Config::read(&missing).unwrap_err().to_string();
    assert!(error.contains("none.toml"), "{error}");
}

#[test]
fn the_error_of_a_file_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bridge.toml");
    std::fs::write(&file, "[mesh]\nfoo = 1\n").unwrap();
    let error = Config::find(&[file]).unwrap_err().to_string();
    assert!(
        error.contains("bridge.toml") && error.contains("line 2"),
        "{error}"
    );
}

#[test]
fn exports_and_imports_become_rules() {
    let text = r#"
        [[export]]
        service = "org.mpris.MediaPlayer2.*"
        call = ["org.mpris.MediaPlayer2.Player.*@/org/mpris/MediaPlayer2"]
        peers = ["foh"]

        [[import]]
        service = "org.mpris.MediaPlayer2.*"
        name = "org.mpris.MediaPlayer2.{node}.{tail}"

        [[import]]
        service = "*"
        from = "stage"
        name = false
    "#;
    let settings = Config::parse(text).unwrap().check().unwrap();
    assert!(
        settings
            .services
            .export
            .offers("org.mpris.MediaPlayer2.mpv")
    );
    assert!(
        !settings
            .services
            .export
            .grant(
                "org.mpris.MediaPlayer2.mpv",
                zocp_policy::Who {
                    name: "x",
                    venue: None,
                    uuid: "1",
                    key: None,
                },
            )
            .may_see()
    );
    assert_eq!(settings.services.import.len(), 2);
    assert_eq!(
        settings.services.import[1].name,
        zocp_policy::ImportName::Never
    );
}

#[test]
fn a_rule_that_says_nothing_or_nonsense_is_an_error() {
    for text in [
        "[[export]]\nservice = 'org.a.B'",
        "[[export]]\nservice = 'org'\ntalk = true",
        "[[export]]\nservice = 'org.a.B'\ncall = ['x']",
        "[[import]]\nservice = 'org.a.B'\nname = '{nodes}'",
    ] {
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.contains("line "), "{error}");
    }
    assert!(
        Config::parse("[[export]]\ntalk = true").is_err(),
        "no service"
    );
}

#[test]
fn a_rule_that_is_wrong_is_named_by_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bridge.toml");
    for (text, line, key) in [
        (
            "[[export]]\nservice = 'org.a.B'\ncall = ['x']\n",
            "line 3",
            "call",
        ),
        ("\n[[export]]\nservice = 'org.a.B'\n", "line 2", "export"),
        (
            "[mesh]\nname = 'a'\nport = 0\n",
            "bridge.toml:3",
            "mesh.port",
        ),
        (
            "[limits]\n\npeers_max = 0\n",
            "bridge.toml:3",
            "limits.peers_max",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = Config::read(&file).unwrap_err().to_string();
        assert!(error.contains("bridge.toml"), "{error}");
        assert!(error.contains(line) && error.contains(key), "{error}");
    }
}
