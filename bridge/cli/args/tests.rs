//! What is a command line, and the examples of help and pages.

use clap::{CommandFactory, error::ErrorKind};

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Args::command().debug_assert();
}

/// The words of a command of a shell; without comments, and without what follows a pipe or a redirection.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '<' | '&' | ';' | ')') => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The command lines of this program in a text, `zocp …`, which may be behind others in one line.
fn lines_of(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some(at) = rest.find("zocp ") {
            let is_command = matches!(
                rest[..at].trim_end_matches(' ').chars().next_back(),
                None | Some('$' | '|' | ';' | '&' | '(' | '`')
            ) || rest[..at].ends_with("sudo ");
            if is_command {
                found.push(words(&rest[at..]));
            }
            rest = &rest[at + "zocp ".len()..];
        }
    }
    found
}

fn parsed(words: &[String]) -> Result<Args, clap::Error> {
    Args::try_parse_from(words)
}

#[test]
fn every_command_has_examples_that_are_command_lines() {
    let mut read = 0;
    for command in Args::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let name = command.get_name();
        assert!(help.starts_with("Examples:\n"), "{name} has no examples");
        let long = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{name}: a line of more than 80 columns");
        for words in lines_of(&help) {
            if let Err(error) = parsed(&words) {
                panic!("{words:?}: {error}");
            }
            read += 1;
        }
    }
    assert!(read > 60, "{read} examples are read");
}

/// The pages with their names.
fn pages() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md")];
    for part in ["tutorial", "how-to", "reference", "explanation"] {
        let entries = std::fs::read_dir(root.join("docs").join(part)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    // Made from the help, whose examples are read above.
    files.retain(|file| {
        file.extension().is_some_and(|end| end == "md") && !file.ends_with("reference/cli.md")
    });
    let read = |file: std::path::PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file.display().to_string(), text)
    };
    files.into_iter().map(read).collect()
}

/// In blocks of code they are whole; in sentences something may be left out, or stand for something.
#[test]
fn every_command_line_of_the_pages_can_be_meant() {
    let (mut whole, mut partial, mut wrong) = (0, 0, Vec::new());
    for (page, text) in pages() {
        for (at, part) in text.split("```").enumerate() {
            let is_block = at % 2 == 1;
            let lines = match is_block {
                true => lines_of(part),
                false => part
                    .split('`')
                    .skip(1)
                    .step_by(2)
                    .flat_map(lines_of)
                    .collect(),
            };
            for words in lines {
                // What stands for a command, or for keys of the keyboard.
                let is_shown = |word: &String| word.contains(['⇥', '…']) || word == "COMMAND";
                if words.iter().any(is_shown) {
                    continue;
                }
                let kind = parsed(&words).err().map(|error| error.kind());
                let is_wrong = match kind {
                    None | Some(ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => false,
                    Some(ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand) => true,
                    Some(_) => is_block,
                };
                if is_wrong {
                    wrong.push(format!("{page}: {words:?}: {kind:?}"));
                }
                *(if is_block { &mut whole } else { &mut partial }) += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        whole > 80 && partial > 80,
        "{whole} whole, {partial} partial"
    );
    println!("{whole} command lines in blocks, {partial} in sentences");
}

#[test]
fn a_negative_number_is_a_value() {
    let args = Args::try_parse_from(["zocp", "set", "lamp", "level", "-0.5"]).unwrap();
    assert!(matches!(args.command, Command::Set { value, .. } if value == "-0.5"));
}

#[test]
fn flags_of_the_bridge_become_configuration() {
    let line = "zocp bridge --name a --peer tcp://h:1 --peer tcp://h:2 --interface lo --beacon off \
         --export org.a.B --export org.c.*";
    let args = Args::try_parse_from(line.split(' ')).unwrap();
    let Command::Bridge(bridge) = args.command else {
        panic!("not the bridge")
    };
    let config = bridge.into_config(Some(String::from("system")));
    assert_eq!(config.mesh.name.as_deref(), Some("a"));
    assert_eq!(config.mesh.peers.unwrap(), ["tcp://h:1", "tcp://h:2"]);
    assert_eq!(config.mesh.interface.unwrap(), ["lo"]);
    assert!(config.mesh.beacon.is_some());
    assert_eq!(config.bus.address.as_deref(), Some("system"));
    assert_eq!(config.mesh.port, None);
    let exported: Vec<&str> = config.export.iter().map(|it| &*it.service).collect();
    assert_eq!(exported, ["org.a.B", "org.c.*"]);
    assert!(config.export.iter().all(|it| it.talk));
}

#[test]
fn where_a_server_listens_is_an_address_and_a_port() {
    let local = socket_address("127.0.0.1:9000").unwrap();
    assert_eq!(socket_address("localhost:9000"), Ok(local));
    assert!(socket_address("[::1]:9000").is_ok());
    for wrong in ["127.0.0.1", "9000", "localhost", "host:9000", ""] {
        assert!(
            socket_address(wrong).unwrap_err().contains("a port"),
            "{wrong}"
        );
    }
}
