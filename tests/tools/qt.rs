//! `qdbusxml2cpp` of Qt makes proxies and adaptors of all introspection data, and they compile.
//!
//! Model: each text becomes a proxy and an adaptor, which the compiler checks.

use std::fs;

use zocp_testkit::{Bus, Cmd, Lab, isolated};

use super::{CAMERA, HEAD, ROOT, Stage, busctl};

const QT: &str = "/usr/lib/qt5/bin";
/// A file of the package that has the headers and needs the tools, at one place on every architecture.
const QT_PACKAGE: &str = "/usr/share/qt5/doc/config/exampleurl-qtbase.qdocconf";
/// What a program defines for the structures that Qt has no template for, docs/reference/dbus.md.
const STRUCTURES: &str = "#include <QtDBus>
struct Zocp_ddd { double a, b, c; };
struct Zocp_dddd { double a, b, c, d; };
Q_DECLARE_METATYPE(Zocp_ddd)
Q_DECLARE_METATYPE(Zocp_dddd)
";

#[test]
fn every_interface_becomes_a_proxy_and_an_adaptor_that_compile() {
    isolated(async |lab: Lab| {
        let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/interfaces"));
        let mut texts = Vec::new();
        for file in files.expect("the interfaces") {
            let file = file.expect("a file").path();
            if file.extension().is_some_and(|it| it == "xml") {
                texts.push(fs::read_to_string(file).expect("a text"));
            }
        }
        assert!(texts.len() >= 13, "all are found");
        let mut source = String::new();
        for (at, text) in texts.iter().enumerate() {
            source += &generate(&lab, at, text, &Parts::Both).await;
        }
        compile(&lab, &source).await;
    });
}

#[test]
fn so_does_what_a_node_and_the_bridge_say_of_themselves_at_run_time() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("session").await;
        let stage = Stage::on(&bus, &lab).await;
        let bridge = "org.z25.Zocp1";
        let objects = [
            (stage.name.as_str(), ROOT),
            (&stage.name, CAMERA),
            (&stage.name, HEAD),
            (bridge, "/org/z25/Zocp1"),
            (bridge, "/org/z25/Zocp1/Local"),
        ];
        let mut texts = Vec::new();
        for (name, path) in objects {
            let text = busctl(&bus, &["introspect", "--xml-interface", name, path]).await;
            texts.push(text);
        }
        let vector = r#"value="Zocp_ddd""#;
        assert!(texts[0].contains(vector), "{}", texts[0]);
        // Who serves another's objects is a rarity. What Qt makes for that does not compile where a method
        // answers with a map: its macro takes the comma of the type for one between arguments.
        for (at, text) in texts.iter().enumerate() {
            let source = generate(&lab, at, text, &Parts::Proxies).await;
            // The others have no type that the files, or the root, do not have; and an argument that is called
            // "how often" is no name in C++.
            if objects[at].1 == ROOT {
                compile(&lab, &source).await;
            }
        }
    });
}

/// What of the code that is made is compiled.
enum Parts {
    Both,
    Proxies,
}

/// Makes both of a text; with the C++ that includes the parts.
async fn generate(lab: &Lab, at: usize, text: &str, parts: &Parts) -> String {
    let xml = lab.file(&format!("{at}.xml"), text);
    let file = |name: &str| lab.path(&format!("{name}{at}"));
    let (proxy, adaptor) = (file("proxy"), file("adaptor"));
    for (option, target) in [
        ("-p", format!("{proxy}.h:")),
        ("-a", format!("{adaptor}.h:{adaptor}.cpp")),
    ] {
        let tool = Cmd::new(&format!("{QT}/qdbusxml2cpp")).needs(QT_PACKAGE);
        let made = tool.args([option, &target, &xml]).outcome().await;
        assert!(made.status.success(), "{}\n{text}", made.err);
        assert_eq!(made.err, "", "{text}");
    }
    let sources = match parts {
        Parts::Both => vec![(&proxy, "h"), (&adaptor, "cpp")],
        Parts::Proxies => vec![(&proxy, "h")],
    };
    let mut source = String::new();
    for (name, ending) in sources {
        let (header, moc) = (format!("{name}.h"), format!("{name}.moc.cpp"));
        let tool = Cmd::new(&format!("{QT}/moc"));
        tool.args([&header, "-o", &moc]).run().await;
        source += &format!("#include \"{name}.{ending}\"\n#include \"{moc}\"\n");
    }
    source
}

/// Has the compiler check a program.
async fn compile(lab: &Lab, source: &str) {
    let program = lab.file("program.cpp", format!("{STRUCTURES}{source}"));
    let flags = Cmd::new("pkg-config").args(["--cflags", "Qt5DBus"]);
    let flags = flags.run().await;
    let compiler = Cmd::new("g++").args(["-std=c++17", "-fPIC", "-w", "-fsyntax-only", &program]);
    let compiler = compiler.args(flags.split_whitespace());
    compiler.that_works().run().await;
}
