//! `zocp publish NAME VALUE`: be a value of the mesh.
//!
//! Model: the bridge shows what a program publishes as long as the program stays on the bus, so this one
//! stays. What others set, and what arrives, is printed, a line each; with `-` each line of stdin is set, and
//! the end of stdin is the end. When the bridge ends, this one waits for the next one and publishes its value again.
//! Invariants: PUBLISH-1. what we set ourselves is not printed. PUBLISH-2. the first line is published, or its
//! refusal is the end; a later one that is refused is told, and the next one is taken.
//! Limits: [`LINES_MAX`] lines are read ahead.

use std::{
    collections::{HashMap, VecDeque},
    io::BufRead,
    pin::{Pin, pin},
};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use zbus::{
    MatchRule, Message, MessageStream, Signature, Variant,
    fdo::{DBusProxy, PropertiesProxy},
    message::Type,
    names::InterfaceName,
};
use zocp_interfaces::{BRIDGE_NAME, LOCAL_PATH, LocalProxy, SIGNALS_INTERFACE, VALUES_INTERFACE};
use zocp_mapping::{label::label, types};
use zocp_node::model::TypeHint;

use super::bridge::end_signals;
use crate::{
    args::PublishArgs,
    client::Client,
    exit::{Exit, Failure},
    listener::{bridge_rule, new_bridge},
    output::Output,
    value::{fields, parse, plain, to_json},
};

pub(crate) async fn run(
    output: &Output,
    bus: Option<String>,
    publish: &PublishArgs,
) -> Result<(), Failure> {
    // From here on Ctrl-C is our end, before anything is said about it.
    let mut end = pin!(end_signals(&[])?);
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let mut lines = (publish.value() == STDIN).then(read_lines);
    if lines.is_some() {
        tracing::debug!("waits for the first line");
    }
    let first = match &mut lines {
        Some(lines) => tokio::select! {
            line = lines.recv() => line,
            () = &mut end => return Ok(()),
        },
        None => Some(publish.value().to_owned()),
    };
    let Some(first) = first else {
        return Err(Failure::new(
            Exit::Usage,
            "stdin has no first line to publish",
        ));
    };
    let mut value = Published::open(output, client, publish).await?;
    value.publish(&first).await?;
    let end_of_it = match (publish.lasting, lines.is_some()) {
        (true, _) => "and stays when this command ends",
        (false, true) => "until standard input ends, or Ctrl-C",
        (false, false) => "until Ctrl-C",
    };
    eprintln!("zocp: \"{}\" is published {end_of_it}", publish.name());
    value.follow(lines, end).await
}

/// `zocp unpublish NAME`.
pub(crate) async fn undo(bus: Option<String>, name: &str) -> Result<(), Failure> {
    let client = Client::open(bus.as_deref()).await?;
    client.bridge().await?;
    let local = LocalProxy::new(&client.connection).await?;
    match local.unpublish(name).await.map_err(Failure::from) {
        Err(failure) if failure.exit == Exit::Refused => {
            let text = format!("nothing is published as \"{name}\"");
            let hint = "see `zocp tree` for what this bridge publishes";
            Err(Failure::new(Exit::NoCapability, text).hint(hint))
        }
        Err(failure) if failure.message().contains("belongs to another program") => Err(failure.hint(
            "what a running program publishes goes with it: end that one, for `zocp publish` with Ctrl-C",
        )),
        outcome => outcome,
    }
}

/// A value on the mesh.
struct Published<'a> {
    output: &'a Output,
    publish: &'a PublishArgs,
    client: Client,
    properties: PropertiesProxy<'static>,
    heard: MessageStream,
    /// What we set, of which we have not heard yet.
    own: VecDeque<Value>,
    /// The value that it has, for the next bridge.
    last: String,
    /// Whether the bridge has it.
    is_published: bool,
    /// Lines of standard input so far, and those of them that were refused.
    lines: usize,
    refused: usize,
}

impl<'a> Published<'a> {
    async fn open(
        output: &'a Output,
        client: Client,
        publish: &'a PublishArgs,
    ) -> Result<Self, Failure> {
        let path = publish.path();
        let bus = DBusProxy::new(&client.connection).await?;
        for rule in publish.rules(&path) {
            bus.add_match_rule(MatchRule::try_from(rule.as_str())?)
                .await?;
        }
        let properties = PropertiesProxy::builder(&client.connection)
            .destination(BRIDGE_NAME)
            .path(path)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        Ok(Self {
            output,
            publish,
            heard: MessageStream::from(&client.connection),
            client,
            properties,
            own: VecDeque::new(),
            last: String::new(),
            is_published: false,
            lines: 1,
            refused: 0,
        })
    }

    async fn publish(&mut self, text: &str) -> Result<(), Failure> {
        let value = self.publish.read(text)?;
        let local = LocalProxy::new(&self.client.connection).await?;
        let options = self.publish.options();
        local.publish(self.publish.name(), &value, options).await?;
        text.clone_into(&mut self.last);
        self.own.clear();
        self.is_published = true;
        Ok(())
    }

    /// The bridge has come or gone, if a message says so.
    async fn follow_bridge(&mut self, message: &Message) -> Result<(), Failure> {
        let Some(owner) = new_bridge(message)? else {
            return Ok(());
        };
        if self.is_published {
            self.is_published = false;
            eprintln!("zocp: the bridge has ended: the value is published again when there is one");
        }
        if owner.is_empty() {
            return Ok(());
        }
        let value = self.last.clone();
        match self.publish(&value).await {
            Ok(()) => eprintln!("zocp: \"{}\" is published again", self.publish.name()),
            // It has gone again, and the bus will say so.
            Err(failure) if failure.exit == Exit::Unavailable => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    async fn follow(
        &mut self,
        mut lines: Option<mpsc::Receiver<String>>,
        mut end: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), Failure> {
        loop {
            // Cancel safe: messages and lines stay in their queues.
            tokio::select! {
                message = self.heard.next() => match message {
                    Some(Ok(message)) => {
                        self.follow_bridge(&message).await?;
                        self.hear(&message)?;
                    }
                    _ => return Err(Failure::new(Exit::NoBus, "the bus is gone")),
                },
                line = next(&mut lines) => match line {
                    Some(line) => {
                        self.lines += 1;
                        self.set(&line).await?;
                    }
                    None => return self.refused_lines(),
                },
                () = &mut end => return Ok(()),
            }
        }
    }

    /// A line of standard input was refused.
    fn refuse(&mut self, failure: &Failure) {
        self.refused += 1;
        eprintln!("{failure} (line {})", self.lines);
    }

    /// How standard input ended.
    fn refused_lines(&self) -> Result<(), Failure> {
        if self.refused == 0 {
            return Ok(());
        }
        let text = format!("{} of {} lines were refused", self.refused, self.lines);
        Err(Failure::new(Exit::Refused, text))
    }

    async fn set(&mut self, line: &str) -> Result<(), Failure> {
        let value = match self.publish.read(line) {
            Ok(value) => value,
            Err(failure) => {
                self.refuse(&failure);
                return Ok(());
            }
        };
        line.clone_into(&mut self.last);
        if !self.is_published {
            return Ok(());
        }
        self.own.push_back(to_json(&value));
        let interface = InterfaceName::from_static_str_unchecked(VALUES_INTERFACE);
        let member = label(self.publish.name());
        // The bridge tells what is heard of it before it answers.
        let outcome = self.properties.set(interface, &member, &value).await;
        if let Err(error) = outcome {
            self.own.pop_back();
            let failure = Failure::from(error);
            match failure.exit {
                Exit::Refused => self.refuse(&failure),
                // The bridge has gone, and the bus will say so.
                Exit::Unavailable => {}
                _ => return Err(failure),
            }
        }
        Ok(())
    }

    fn hear(&mut self, message: &Message) -> Result<(), Failure> {
        let Some(value) = self.publish.value_in(message)? else {
            return Ok(());
        };
        if self.own.front().is_some_and(|own| is_same(own, &value)) {
            self.own.pop_front();
            return Ok(());
        }
        self.last = plain(&value);
        if self.output.json {
            let line = json!({ "name": self.publish.name(), "value": value });
            self.output.json_line(&line.to_string())?;
        } else {
            self.output.plain_value(&plain(&value))?;
        }
        Ok(())
    }
}

impl PublishArgs {
    fn path(&self) -> String {
        let inside = self.object.iter().flat_map(|object| object.split('.'));
        let labels = inside.filter(|name| !name.is_empty()).map(label);
        labels.fold(LOCAL_PATH.to_owned(), |path, label| {
            format!("{path}/{label}")
        })
    }

    /// Whether each arrival is a signal; else it is a change of the property.
    fn is_signal(&self) -> bool {
        let access = self.access.as_deref();
        access.is_none_or(|letters| letters.contains(['e', 's']))
    }

    fn rules(&self, path: &str) -> Vec<String> {
        let from = format!("type='signal',sender='{BRIDGE_NAME}',path='{path}'");
        vec![
            bridge_rule(),
            if self.is_signal() {
                let member = label(self.name());
                format!("{from},interface='{SIGNALS_INTERFACE}',member='{member}'")
            } else {
                format!("{from},interface='{PROPERTIES}',arg0='{VALUES_INTERFACE}'")
            },
        ]
    }

    /// The text as the hint wants it, or as it looks.
    fn read(&self, text: &str) -> Result<Variant<'static>, Failure> {
        let hint = self.hint.as_deref().map(TypeHint::parse);
        let signature = hint.and_then(types::hinted).unwrap_or(Signature::Variant);
        let value = parse(text, &signature).map_err(|reason| {
            Failure::new(Exit::Refused, format!("\"{}\": {reason}", self.name()))
        })?;
        Ok(match value {
            Variant::Variant(inner) => *inner,
            value => value,
        })
    }

    fn options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        for (name, text) in [
            ("Access", &self.access),
            ("TypeHint", &self.hint),
            ("Object", &self.object),
        ] {
            options.extend(text.iter().map(|text| (name, Variant::new(text.clone()))));
        }
        for (name, bound) in [("Min", self.min), ("Max", self.max), ("Step", self.step)] {
            options.extend(bound.map(|bound| (name, Variant::F64(bound))));
        }
        if self.lasting {
            options.insert("Lasting", Variant::new(true));
        }
        options
    }

    /// The value that a message brings, if it is of ours.
    fn value_in(&self, message: &Message) -> Result<Option<Value>, Failure> {
        if message.message_type() != Type::Signal {
            return Ok(None);
        }
        let header = message.header();
        let is = |interface: &str| header.interface().is_some_and(|name| *name == *interface);
        let member = label(self.name());
        if is(SIGNALS_INTERFACE) && header.member().is_some_and(|name| *name == *member) {
            let is_structure = matches!(message.body().signature(), Signature::Structure(_));
            let values = fields(message, is_structure)?;
            return Ok(values.first().map(to_json));
        }
        if !is(PROPERTIES) {
            return Ok(None);
        }
        let body = message.body();
        let changed = body.deserialize::<(String, HashMap<String, Variant<'_>>, Vec<String>)>()?;
        Ok(changed.1.get(&member).map(to_json))
    }
}

/// Whether two values say the same; `1` and `1.0` do.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (one, other) => one == other,
    }
}

/// The lines of stdin, read by a thread of their own: a terminal or a pipe cannot be waited for otherwise.
fn read_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line, for ever where none are read; `None` at their end.
async fn next(lines: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match lines {
        Some(lines) => lines.recv().await,
        None => std::future::pending().await,
    }
}

/// In the place of a value: each line of stdin is one.
const STDIN: &str = "-";
/// Further ones stay in the pipe.
const LINES_MAX: usize = 16;
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
