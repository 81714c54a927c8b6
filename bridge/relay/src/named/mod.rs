//! Files that messages name: cover art of players, icons of notifications.
//!
//! Model: a bridge remembers which files the messages that it passes to a peer name, in members that are known for
//! that. The peer's bridge asks for the file by a channel, keeps a copy, and puts the copy's name into the message,
//! which waits for it
//! (`crate::descriptors`). What cannot be copied keeps its name.
//! Layout: `members` finds names in messages, `place` reads them, `store` has what was named and the copies, `image`
//! tells pictures.
//! Invariants: NAMEDFILE-1. A peer gets only files that were named to it. NAMEDFILE-2. Only pictures are sent and taken;
//! symbolic links, devices and FIFOs are not. NAMEDFILE-3. Only threads for that wait for a file system.
//! Limits: [`PICTURE_LEN_MAX`], [`FETCH_TIME_MAX`]; those of `store`.
//! Spec: docs/reference/protocol.md §9.9

mod image;
mod members;
mod place;
mod store;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use tokio::{task::spawn_blocking, time::timeout};
use zbus::Message;
use zocp_dbus::errors::Refusal;
use zocp_node::{
    Channel, ChannelRequest, Node, PIECE_MAX, PeerId, Received, RemoteError, Value, model::json,
};

pub(crate) use self::{
    members::{Form, Renamed, files_in},
    store::NamedFiles,
};
use crate::{channel_end::finish, transport::with_body};

/// The message with the names of the copies.
pub(crate) fn renamed(form: Form, message: &Message, copies: &[Renamed]) -> Option<Message> {
    let body = members::renamed(form, message, copies)?;
    with_body(message, &body)
}

/// Gets a file that a peer named; with `is_news` anew, although there may be a copy.
pub(crate) async fn fetch(
    node: Node,
    files: NamedFiles,
    (peer, name): (PeerId, String),
    is_news: bool,
) -> Option<Renamed> {
    let copy = match files.copy(peer, &name).filter(|_| !is_news) {
        Some(copy) => copy,
        None => {
            let fetched = timeout(FETCH_TIME_MAX, octets_of(&node, peer, &name)).await;
            let fetched = fetched.unwrap_or_else(|_| Err("it took too long".to_owned()));
            let kept = match fetched {
                Ok(octets) => kept(files, peer, name.clone(), octets).await,
                Err(reason) => Err(reason),
            };
            kept.inspect_err(|reason| {
                tracing::info!(peer = %peer.short(), name, reason, "a file that a peer names is not copied");
            })
            .ok()?
        }
    };
    let to = place::text_of(&copy, &name);
    Some(Renamed { from: name, to })
}

async fn octets_of(node: &Node, peer: PeerId, name: &str) -> Result<Vec<u8>, String> {
    let channel = node.request_channel(peer, json!({"file": name})).await;
    let channel = channel.map_err(|error| error.to_string())?;
    let mut octets = Vec::new();
    loop {
        match channel.receive().await {
            Ok(Received::Piece(piece)) if octets.len() + piece.len() <= PICTURE_LEN_MAX => {
                octets.extend_from_slice(&piece);
            }
            Ok(Received::Piece(_)) => {
                channel.reset("the file is too long");
                return Err(format!("it is longer than {PICTURE_LEN_MAX} octets"));
            }
            Ok(Received::End) => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    // The octets are here, however the channel ends.
    let _ = channel.end().await;
    Ok(octets)
}

async fn kept(
    files: NamedFiles,
    peer: PeerId,
    name: String,
    octets: Vec<u8>,
) -> Result<std::path::PathBuf, String> {
    let ending = image::ending(&octets).ok_or("it is no picture")?;
    let keeping = spawn_blocking(move || files.keep((peer, &name), &octets, ending));
    let kept = keeping.await.map_err(|error| error.to_string())?;
    kept.map_err(|error| error.to_string())
}

/// The file that a request for a channel is for, if it is for one.
pub(crate) fn wanted(request: &ChannelRequest) -> Option<String> {
    let name = request.purpose.get("file").and_then(Value::as_str)?;
    Some(name.to_owned())
}

/// Answers a peer that asks for a file.
pub(crate) async fn serve(node: Node, files: NamedFiles, request: ChannelRequest, name: String) {
    let read = match files.is_announced(request.peer, &name) {
        false => Err(Refusal::AccessDenied(format!(
            "{name} was not named to you"
        ))),
        true => {
            let reading = spawn_blocking(move || picture(&name)).await;
            reading.unwrap_or_else(|error| Err(Refusal::Failed(error.to_string())))
        }
    };
    let octets = match read {
        Ok(octets) => octets,
        Err(refusal) => {
            let error = RemoteError::new(refusal.raw_name(), refusal.to_string());
            // The peer may have left.
            let _ = node.refuse_channel(&request, error).await;
            return;
        }
    };
    let sent = match node.accept_channel(&request).await {
        Ok(channel) => {
            let sent = timeout(FETCH_TIME_MAX, send(&channel, &octets)).await;
            sent.unwrap_or_else(|_| Err("it took too long".to_owned()))
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(reason) = sent {
        tracing::info!(peer = %request.peer.short(), reason, "a file was not sent");
    }
}

async fn send(channel: &Channel, octets: &[u8]) -> Result<(), String> {
    let sending = async {
        for piece in octets.chunks(PIECE_MAX) {
            channel.send(piece).await?;
        }
        finish(channel).await
    };
    sending.await.map_err(|error| error.to_string())
}

/// The octets of a picture of this machine.
fn picture(name: &str) -> Result<Vec<u8>, Refusal> {
    let failed = |reason: &str| Refusal::Failed(format!("{name}: {reason}"));
    let path = place::path_of(name).ok_or_else(|| failed("it is no name of a file"))?;
    let octets = read(&path).map_err(|error| failed(&error.to_string()))?;
    match image::ending(&octets) {
        Some(_) => Ok(octets),
        None => Err(failed("it is no picture")),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A FIFO without a writer and a device would have the opening wait.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut octets = Vec::new();
    let mut file = File::from(file).take(PICTURE_LEN_MAX as u64 + 1);
    file.read_to_end(&mut octets)?;
    if octets.len() > PICTURE_LEN_MAX {
        let text = format!("it is longer than {PICTURE_LEN_MAX} octets");
        return Err(io::Error::other(text));
    }
    Ok(octets)
}

/// Octets of a picture.
const PICTURE_LEN_MAX: usize = 8 << 20;
/// How long a message waits for a file that it names.
const FETCH_TIME_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use zocp_node::Event;

    use super::*;
    use crate::test_nodes::two_nodes;

    #[tokio::test]
    async fn a_peer_gets_what_was_named_to_it_and_nothing_else() {
        let [(lamp, mut at_lamp), (desk, _at_desk)] = two_nodes().await;
        let directory = tempfile::tempdir().unwrap();
        let png = [&b"\x89PNG\r\n\x1a\n"[..], &vec![7; 300_000]].concat();
        let names = ["named.png", "secret.png"].map(|name| {
            let path = directory.path().join(name);
            fs::write(&path, &png).unwrap();
            path.to_string_lossy().into_owned()
        });
        let offered = NamedFiles::default();
        offered.announce(desk.id(), vec![names[0].clone()]);
        let at_home = lamp.clone();
        tokio::spawn(async move {
            while let Some(event) = at_lamp.next().await {
                if let Event::ChannelRequested(request) = event {
                    let name = wanted(&request).unwrap();
                    serve(at_home.clone(), offered.clone(), request, name).await;
                }
            }
        });
        let copies = NamedFiles::default();
        let fetched = names.map(|name| {
            let whose = (lamp.id(), name);
            fetch(desk.clone(), copies.clone(), whose, false)
        });
        let [named, secret] = fetched;
        assert_eq!(secret.await, None);
        let named = named.await.unwrap();
        assert_eq!(fs::read(&named.to).unwrap(), png);
    }

    #[test]
    fn only_regular_files_that_are_pictures_are_sent() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let name = |name: &str| at(name).to_string_lossy().into_owned();
        let png = b"\x89PNG\r\n\x1a\n....";
        fs::write(at("a.png"), png).unwrap();
        assert_eq!(picture(&name("a.png")), Ok(png.to_vec()));
        fs::write(at("text.png"), "root:x:0:0").unwrap();
        fs::write(
            at("long.png"),
            [&png[..], &vec![0; PICTURE_LEN_MAX]].concat(),
        )
        .unwrap();
        symlink(at("a.png"), at("link.png")).unwrap();
        let fifo = std::process::Command::new("mkfifo")
            .arg(at("fifo.png"))
            .status();
        assert!(fifo.unwrap().success());
        for (name, reason) in [
            (name("text.png"), "picture"),
            (name("long.png"), "longer"),
            (name("link.png"), "symbolic"),
            (name("fifo.png"), "regular"),
            (name("none.png"), "No such file"),
            ("/dev/zero".to_owned(), "regular"),
            ("/".to_owned(), "regular"),
            ("relative.png".to_owned(), "name"),
        ] {
            let refused = picture(&name).unwrap_err().to_string();
            assert!(refused.contains(reason), "{name}: {refused}");
        }
    }
}
