//! Octets that are no messages, and messages that are odd: whether the connection ends, and what is answered.

use super::{
    harness::{Client, same},
    message::Draft,
};

/// What is answered to octets, and whether the connection is there after that.
fn outcome(client: &mut Client, octets: &[u8]) -> String {
    client.write(octets);
    let serial = client.serial();
    client.write(&Draft::bus("GetId").build(serial));
    let mut answers = Vec::new();
    loop {
        match client.next() {
            None => return format!("{answers:?}, closed"),
            Some(message) if message.reply_serial == serial => return format!("{answers:?}, open"),
            Some(message) if message.field(3) == "NameAcquired" => {}
            Some(message) => answers.push((message.kind, message.field(4).to_owned())),
        }
    }
}

fn odd() -> Vec<(&'static str, Vec<u8>)> {
    let good = || Draft::bus("GetId").build(77);
    let changed = |at: usize, octet: u8| {
        let mut octets = good();
        octets[at] = octet;
        octets
    };
    let call = || Draft::new(1).field(1, "o", "/").field(3, "s", "Do");
    let bus = "org.freedesktop.DBus";
    vec![
        ("as it should be", good()),
        ("byte order", changed(0, b'x')),
        ("type 0", changed(1, 0)),
        ("version", changed(3, 2)),
        ("serial 0", changed(8, 0)),
        ("unknown flags", changed(2, 0xf0)),
        ("fields of 65 MiB", changed(15, 5)),
        ("body of 2 MiB", changed(6, 0x20)),
        ("body of 4 GiB", changed(7, 0xff)),
        (
            "no path",
            Draft::new(1).field(3, "s", "Do").to(bus).build(77),
        ),
        (
            "no member",
            Draft::new(1).field(1, "o", "/").to(bus).build(77),
        ),
        (
            "no interface in a signal",
            Draft::new(4)
                .field(1, "o", "/")
                .field(3, "s", "Do")
                .build(77),
        ),
        (
            "no error name",
            Draft::new(3).number(5, 1).to(bus).build(77),
        ),
        ("no reply serial", Draft::new(2).to(bus).build(77)),
        (
            "reply serial 0",
            Draft::new(2).to(bus).number(5, 0).build(77),
        ),
        ("a reply to nobody", Draft::new(2).number(5, 1).build(77)),
        (
            "a signal to the bus",
            Draft::signal("/", "x.y", "S").to(bus).build(77),
        ),
        (
            "path",
            Draft::new(1)
                .field(1, "o", "/a/")
                .field(3, "s", "Do")
                .to(bus)
                .build(77),
        ),
        (
            "path with //",
            Draft::new(1)
                .field(1, "o", "//")
                .field(3, "s", "Do")
                .to(bus)
                .build(77),
        ),
        (
            "path as a string",
            Draft::new(1)
                .field(1, "s", "/")
                .field(3, "s", "Do")
                .to(bus)
                .build(77),
        ),
        (
            "member",
            Draft::new(1)
                .field(1, "o", "/")
                .field(3, "s", "D.o")
                .to(bus)
                .build(77),
        ),
        (
            "member with a digit first",
            Draft::new(1)
                .field(1, "o", "/")
                .field(3, "s", "1o")
                .to(bus)
                .build(77),
        ),
        (
            "empty member",
            Draft::new(1)
                .field(1, "o", "/")
                .field(3, "s", "")
                .to(bus)
                .build(77),
        ),
        ("interface", call().field(2, "s", "x").to(bus).build(77)),
        ("destination", call().to("x").build(77)),
        ("destination of digits", call().to("1.2").build(77)),
        (
            "unique destination of digits",
            call().to(":1.2.3.4").build(77),
        ),
        ("sender", call().to(bus).field(7, "s", "nonsense").build(77)),
        (
            "a field twice",
            call().to(bus).field(3, "s", "Do").build(77),
        ),
        ("field 0", call().to(bus).field(0, "s", "x").build(77)),
        (
            "an unknown field",
            call().to(bus).field(99, "s", "x").build(77),
        ),
        (
            "a field of two types",
            call()
                .to(bus)
                .raw_field(&[99, 2, b'y', b'y', 0, 1, 2])
                .build(77),
        ),
        (
            "a field without a type",
            call().to(bus).raw_field(&[99, 0, 0]).build(77),
        ),
        (
            "a field of a type that is none",
            call().to(bus).raw_field(&[99, 1, b'!', 0]).build(77),
        ),
        (
            "local path",
            Draft::new(1)
                .field(1, "o", "/org/freedesktop/DBus/Local")
                .field(3, "s", "Do")
                .to(bus)
                .build(77),
        ),
        (
            "local interface",
            call()
                .field(2, "s", "org.freedesktop.DBus.Local")
                .to(bus)
                .build(77),
        ),
        (
            "a signature that is none",
            call().to(bus).body("a", &[0; 4]).build(77),
        ),
        (
            "a signature of a struct without members",
            call().to(bus).body("()", &[]).build(77),
        ),
        (
            "a signature of 33 arrays",
            call()
                .to(bus)
                .body(&format!("{}y", "a".repeat(33)), &[0; 4])
                .build(77),
        ),
        ("a body without a signature", {
            let mut octets = call().to(bus).build(77);
            octets[4] = 4;
            octets.extend([0; 4]);
            octets
        }),
        ("padding of the header", {
            let mut octets = call().to(bus).build(77);
            let last = octets.len() - 1;
            assert_eq!(octets[last], 0);
            octets[last] = 1;
            octets
        }),
        (
            "an argument that ends too early",
            Draft::bus("NameHasOwner")
                .body("s", &[9, 0, 0, 0, b'x', 0])
                .build(77),
        ),
        (
            "an argument without its zero octet",
            Draft::bus("NameHasOwner")
                .body("s", &[1, 0, 0, 0, b'x', 1])
                .build(77),
        ),
        (
            "octets behind the arguments",
            Draft::bus("NameHasOwner")
                .body("s", &[1, 0, 0, 0, b'x', 0, 0])
                .build(77),
        ),
        (
            "an argument that is not UTF-8",
            Draft::bus("NameHasOwner")
                .body("s", &[1, 0, 0, 0, 0xff, 0])
                .build(77),
        ),
        ("nobody is called", call().build(77)),
        (
            "a call before it is ended by nonsense",
            [good(), vec![b'l'; 40]].concat(),
        ),
    ]
}

#[test]
fn odd_messages_end_the_same_way() {
    same(|stage| {
        for (what, octets) in odd() {
            let mut client = stage.client("a");
            let outcome = outcome(&mut client, &octets);
            stage.say(format!("{what}: {outcome}"));
        }
    });
}

#[test]
fn who_speaks_before_hello_is_hung_up_on_or_refused() {
    same(|stage| {
        let mut b = stage.client("b");
        let to_b = b.unique.clone();
        for (what, draft) in [
            ("a call to another", Draft::call(&to_b, "Do")),
            (
                "a signal to another",
                Draft::signal("/", "x.y", "S").to(&to_b),
            ),
            ("a signal to all", Draft::signal("/", "x.y", "S")),
        ] {
            let mut new = stage.connect("n", true);
            new.send(draft);
            let came = new.drain_to_end().len();
            stage.say(format!("{what}: {came} messages, closed {}", new.is_closed));
        }
        stage.drain(&mut b);
    });
}

#[test]
fn conversations_before_the_first_message_go_the_same_way() {
    let user = rustix::process::geteuid().as_raw().to_string();
    let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
    let external = format!("AUTH EXTERNAL {user}");
    let talks: Vec<Vec<&str>> = vec![
        vec![
            "AUTH",
            &external,
            "NEGOTIATE_UNIX_FD",
            "CANCEL",
            &external,
            "BEGIN",
        ],
        vec!["AUTH EXTERNAL", "DATA"],
        vec![
            "AUTH EXTERNAL",
            "AUTH EXTERNAL",
            "DATA zz",
            "CANCEL",
            "DATA",
        ],
        vec!["AUTH EXTERNAL 313233343536"],
        vec!["AUTH EXTERNAL zz", "AUTH ANONYMOUS 616e79", "AUTH NOSUCH"],
        vec![
            "NEGOTIATE_UNIX_FD",
            "ERROR",
            "ERROR text",
            "HELLO",
            "OK",
            "AGREE_UNIX_FD",
            "DATA",
            "CANCEL",
        ],
        vec![
            &external,
            "AUTH",
            "DATA",
            "NEGOTIATE_UNIX_FD",
            "NEGOTIATE_UNIX_FD",
            "WHAT",
            "ERROR",
            &external,
        ],
        vec!["BEGIN"],
        vec!["AUTH EXTERNAL", "BEGIN"],
        vec!["AUTH", "AUTH", "AUTH", "AUTH", "AUTH", "AUTH", "AUTH"],
    ];
    same(|stage| {
        for talk in &talks {
            let mut client = Client::open(&stage.bus, "a");
            client.write(b"\0");
            let mut is_let_in = false;
            for line in talk {
                client.write(format!("{line}\r\n").as_bytes());
                if *line == "BEGIN" && is_let_in {
                    client.send(Draft::bus("Hello"));
                    let answer = client.next().map(|answer| answer.kind);
                    stage.say(format!("begun: {answer:?}"));
                    break;
                }
                let answer = client.line();
                let shown = answer.split(' ').next().unwrap_or_default();
                is_let_in = is_let_in || shown == "OK";
                let shown = if shown == "REJECTED" { &answer } else { shown };
                let line = line.replace(&user, "user");
                stage.say(format!("{line}: {shown}"));
                if answer.is_empty() {
                    break;
                }
            }
        }
    });
}
