use zbus::Variant;

use super::*;

const XML: &str = r#"<node><interface name="org.example.Lamp1">
  <property name="Level" type="d" access="readwrite"/></interface></node>"#;

fn crawl(service: &str, installed: InterfaceFiles) -> Crawl {
    Crawl::new(service.into(), Arc::new(installed))
}

fn returned<B>(question: &Question, body: &B) -> Message
where
    B: serde::Serialize + zbus::DynamicType,
{
    let call = question.call("org.example.Lamp").unwrap();
    Message::method_return(&call.header()).build(body).unwrap()
}

fn level(value: f64) -> BTreeMap<String, Variant<'static>> {
    [("Level".to_owned(), Variant::from(value))].into()
}

/// Goes through with it; `answer` gives the introspection data of an object.
fn findings(mut crawl: Crawl, answer: impl Fn(&str) -> Option<String>) -> CrawlResult {
    while let Some(question) = crawl.next() {
        let answer = match &question {
            Question::Introspect(path) => answer(path).map(|text| returned(&question, &text)),
            Question::Values(_) => Some(returned(&question, &level(0.5))),
            other => panic!("{other:?}"),
        };
        crawl.answered(&question, answer.as_ref());
    }
    crawl.findings()
}

#[test]
fn objects_are_found_from_the_root_with_their_values() {
    let found = findings(
        crawl("org.example.Lamp", InterfaceFiles::default()),
        |path| {
            Some(match path {
                "/" => "<node><node name=\"a\"/><node name=\"b\"/></node>".to_owned(),
                "/a" => XML.to_owned(),
                _ => "<node/>".to_owned(),
            })
        },
    );
    let place = Place::new("/a", "org.example.Lamp1");
    assert_eq!(found.interfaces.keys().collect::<Vec<_>>(), [&place]);
    assert_eq!(*found.values[&place]["Level"], Variant::from(0.5));
    assert_eq!(found.texts["/a"], XML);
    assert!(found.supplied.is_empty() && found.cuts.is_empty());
}

#[test]
fn a_service_that_says_nothing_or_nonsense_has_nothing() {
    for answer in [None, Some("<node"), Some("")] {
        let answer = answer.map(str::to_owned);
        let found = findings(crawl("org.example.Lamp", InterfaceFiles::default()), |_| {
            answer.clone()
        });
        assert!(found.interfaces.is_empty() && found.supplied.is_empty());
    }
}

#[test]
fn what_was_told_meanwhile_is_newer_and_what_is_invalid_is_asked_again() {
    let mut crawl = crawl("org.example.Lamp", InterfaceFiles::default());
    let root = crawl.next().unwrap();
    crawl.answered(&root, Some(&returned(&root, &XML)));
    let values = crawl.next().unwrap();
    crawl.answered(&values, Some(&returned(&values, &level(0.25))));
    let place = Place::new("/", "org.example.Lamp1");
    let changed = returned(&values, &level(0.75));
    crawl.changed(&place, changed.body().deserialize().unwrap(), &[]);
    assert_eq!(crawl.next(), None);
    crawl.changed(&place, Values::new(), &["Level".to_owned()]);
    assert_eq!(crawl.next(), Some(Question::Values(place.clone())));
    assert_eq!(
        *crawl.findings().values[&place]["Level"],
        Variant::from(0.75)
    );
}

#[test]
fn what_is_beyond_a_bound_is_left_out_with_a_reason() {
    let endless = findings(crawl("org.example.Lamp", InterfaceFiles::default()), |_| {
        Some("<node><node name=\"a\"/></node>".to_owned())
    });
    assert!(endless.cuts.contains("objects are too deep"));
    let wide = |count: usize, text: &str| {
        let text = text.repeat(count);
        findings(
            crawl("org.example.Lamp", InterfaceFiles::default()),
            move |path| {
                Some(match path {
                    "/" => format!("<node>{text}</node>"),
                    _ => "<node/>".to_owned(),
                })
            },
        )
    };
    assert!(
        wide(VISITS_MAX + 1, "<node name=\"a\"/>")
            .cuts
            .contains("there are too many objects")
    );
    let comment = "<!-- and so on, and so on -->";
    let long = wide(TEXT_LEN_MAX / comment.len() + 1, comment);
    assert!(long.texts.is_empty() && long.cuts.contains("introspection data are too long"));
    let longer = wide(ANSWER_LEN_MAX / comment.len() + 1, comment);
    assert!(longer.cuts.contains("an answer is too long"));
    let interfaces: String = (0..=INTERFACES_MAX)
        .map(|number| format!("<interface name=\"org.example.I{number}\"/>"))
        .collect();
    let many = wide(1, &interfaces);
    assert_eq!(many.interfaces.len(), INTERFACES_MAX);
    assert!(many.cuts.contains("there are too many interfaces"));
}

/// A directory with an installed description of the interface.
fn installed(name: &str) -> InterfaceFiles {
    let place = std::env::temp_dir().join(format!("zocp-crawl-{name}-{}", std::process::id()));
    let interfaces = place.join("dbus-1/interfaces");
    std::fs::create_dir_all(&interfaces).unwrap();
    std::fs::write(interfaces.join("org.example.Lamp1.xml"), XML).unwrap();
    let text = XML.replace("Lamp1", "Lamp");
    std::fs::write(interfaces.join("org.example.Lamp.xml"), text).unwrap();
    let installed = InterfaceFiles::read(std::slice::from_ref(&place));
    std::fs::remove_dir_all(&place).unwrap();
    installed
}

// protocol.md §7.11
#[test]
fn an_interface_that_is_only_named_is_as_it_is_installed() {
    let found = findings(crawl("org.example.Other", installed("bare")), |_| {
        Some("<node><interface name=\"org.example.Lamp1\"/><!-- own --></node>".to_owned())
    });
    let described = &found.interfaces[&Place::new("/", "org.example.Lamp1")];
    assert_eq!(described.properties.len(), 1);
    let text = &found.supplied["/"];
    assert!(
        text.contains("\"Level\"") && text.ends_with("<!-- own --></node>"),
        "{text}"
    );
    assert!(found.texts.is_empty());
}

#[test]
fn a_service_that_says_nothing_is_taken_for_what_its_name_says() {
    for service in ["org.example.Lamp", "org.example.Lamp.kitchen"] {
        let found = findings(crawl(service, installed(service)), |_| None);
        let place = Place::new("/org/example/Lamp", "org.example.Lamp");
        assert!(
            found.interfaces.contains_key(&place),
            "{:?}",
            found.interfaces.keys()
        );
        assert_eq!(*found.values[&place]["Level"], Variant::from(0.5));
        let path = |path: &str| zocp_dbus::introspection::describe(&found.supplied[path]);
        assert_eq!(path("/").children, ["org"]);
        assert_eq!(path("/org/example").children, ["Lamp"]);
        assert_eq!(
            path("/org/example/Lamp").interfaces[0].name,
            "org.example.Lamp"
        );
    }
}
