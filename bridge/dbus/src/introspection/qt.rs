//! The C++ types of D-Bus types, for Qt programs.
//!
//! Model: QtDBus and its `qdbusxml2cpp` know the basic types and some arrays of them. For any other type the
//! introspection data must name the C++ type with the annotation [`TYPE_NAME`]: for a property with that name, for an
//! argument with the name followed by `.In` or `.Out` and its number among the arguments of that direction; arguments
//! of signals are `.Out`. Types that Qt can express with its templates are expressed so, so that generated code
//! compiles without changes: `a{sv}` is `QVariantMap`, `aX` is `QList<X>`, `a{KV}` is `QMap<K,V>`, `(AB)` is
//! `QPair<A,B>`. For a structure of one member or of more than two there is no template: its type is `Zocp_` followed
//! by the signatures of its members, and the program must define it.
//! Spec: docs/reference/dbus.md

use zbus::Signature;

use crate::interface::Annotation;

/// The name of the annotation for a property.
pub(super) const TYPE_NAME: &str = "org.qtproject.QtDBus.QtTypeName";

/// The annotation of a property of this type, if Qt needs one.
pub(super) fn of_property(signature: &Signature) -> Option<Annotation> {
    annotation(TYPE_NAME.to_owned(), signature)
}

/// The annotations of the arguments of one direction: `In` or `Out`.
pub(super) fn of_arguments<'a>(
    direction: &'static str,
    signatures: impl Iterator<Item = &'a Signature>,
) -> impl Iterator<Item = Annotation> {
    signatures.enumerate().filter_map(move |(at, signature)| {
        annotation(format!("{TYPE_NAME}.{direction}{at}"), signature)
    })
}

fn annotation(name: String, signature: &Signature) -> Option<Annotation> {
    let signature = signature.to_string();
    let value = (!is_known(&signature)).then(|| cpp_type(&signature))??;
    Some(Annotation {
        name: name.into(),
        value: value.into_boxed_str(),
    })
}

/// Whether Qt knows the type without an annotation.
fn is_known(signature: &str) -> bool {
    basic(signature).is_some() || ["ay", "as", "ao", "ag", "av"].contains(&signature)
}

/// A container type that is still open.
enum Open {
    Array,
    Dict(Vec<String>),
    /// The offset of its members in the signature, and their C++ types.
    Struct(usize, Vec<String>),
}

/// The C++ type of one complete type. `None` if the text is not a complete type, which a [`Signature`] always is.
fn cpp_type(signature: &str) -> Option<String> {
    let mut open = Vec::new();
    let mut letters = signature.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let mut closed = match letter {
            'a' if letters.next_if(|(_, next)| *next == '{').is_some() => {
                open.push(Open::Dict(Vec::new()));
                continue;
            }
            'a' => {
                open.push(Open::Array);
                continue;
            }
            '(' => {
                open.push(Open::Struct(at + 1, Vec::new()));
                continue;
            }
            '}' => match open.pop()? {
                Open::Dict(parts) => map_of(&parts),
                _ => return None,
            },
            ')' => match open.pop()? {
                Open::Struct(from, parts) => struct_of(signature.get(from..at)?, &parts),
                _ => return None,
            },
            _ => basic(letter.encode_utf8(&mut [0; 4]))?.to_owned(),
        };
        loop {
            match open.last_mut() {
                None => return Some(closed),
                Some(Open::Array) => closed = list_of(&closed),
                Some(Open::Dict(parts) | Open::Struct(_, parts)) => {
                    parts.push(closed);
                    break;
                }
            }
            open.pop();
        }
    }
    None
}

fn list_of(item: &str) -> String {
    match item {
        "uchar" => "QByteArray".to_owned(),
        "QString" => "QStringList".to_owned(),
        "QDBusVariant" => "QVariantList".to_owned(),
        _ => format!("QList<{item}>"),
    }
}

fn map_of(parts: &[String]) -> String {
    match parts.join(",").as_str() {
        "QString,QDBusVariant" => "QVariantMap".to_owned(),
        types => format!("QMap<{types}>"),
    }
}

fn struct_of(members: &str, parts: &[String]) -> String {
    match parts {
        [one, other] => format!("QPair<{one},{other}>"),
        // `r` and `e` stand for structures and dictionary entries; no signature contains these letters.
        _ => {
            let members = members.replace('(', "r").replace('{', "e");
            format!("Zocp_{}", members.replace([')', '}'], "_"))
        }
    }
}

fn basic(letter: &str) -> Option<&'static str> {
    Some(match letter {
        "y" => "uchar",
        "b" => "bool",
        "n" => "short",
        "q" => "ushort",
        "i" => "int",
        "u" => "uint",
        "x" => "qlonglong",
        "t" => "qulonglong",
        "d" => "double",
        "s" => "QString",
        "o" => "QDBusObjectPath",
        "g" => "QDBusSignature",
        "h" => "QDBusUnixFileDescriptor",
        "v" => "QDBusVariant",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_qt_knows_need_no_name() {
        for known in ["y", "s", "v", "h", "ay", "as", "ao", "ag", "av"] {
            let known = Signature::try_from(known).unwrap();
            assert_eq!(of_property(&known), None);
        }
    }

    #[test]
    fn types_are_made_of_qt_s_templates_and_structures_have_names() {
        for (signature, cpp) in [
            ("a{sv}", "QVariantMap"),
            ("aa{sv}", "QList<QVariantMap>"),
            ("a{sa{sv}}", "QMap<QString,QVariantMap>"),
            ("a{s(tt)}", "QMap<QString,QPair<qulonglong,qulonglong>>"),
            ("a{oas}", "QMap<QDBusObjectPath,QStringList>"),
            ("aad", "QList<QList<double>>"),
            ("aay", "QList<QByteArray>"),
            ("(ddd)", "Zocp_ddd"),
            ("a(ddd)", "QList<Zocp_ddd>"),
            ("(d)", "Zocp_d"),
            ("((ddd)a{s(i)}b)", "Zocp_rddd_aesri__b"),
        ] {
            let signature = Signature::try_from(signature).unwrap();
            let value = of_property(&signature).unwrap().value;
            assert_eq!(&*value, cpp, "{signature}");
        }
    }

    #[test]
    fn what_nests_as_deep_as_a_signature_may_has_a_name() {
        let deep = format!("{}(iii){}", "a".repeat(30), "");
        assert_eq!(
            cpp_type(&deep).unwrap(),
            format!("{}Zocp_iii{}", "QList<".repeat(30), ">".repeat(30))
        );
        assert_eq!(cpp_type("a"), None);
        assert_eq!(cpp_type("i)"), Some("int".to_owned()), "one complete type");
    }

    /// The files are passed to `qdbusxml2cpp` unchanged.
    #[test]
    fn the_files_of_the_fixed_interfaces_say_the_same() {
        use zocp_interfaces as files;
        let said = |given: &[Annotation], wanted: Vec<Annotation>, name: &str| {
            let given = given.iter().filter(|it| it.name.starts_with(TYPE_NAME));
            let given: Vec<_> = given.cloned().collect();
            assert_eq!(given, wanted, "{name}");
        };
        for text in [
            files::BRIDGE_XML,
            files::EXPORTER_XML,
            files::LOCAL_XML,
            files::MONITOR_XML,
            files::OBJECT_XML,
            files::PEER_XML,
            files::STATISTICS_XML,
            files::TRUST_XML,
            files::VIEW_XML,
            files::VIEWS_XML,
            files::WIRE_XML,
        ] {
            let interface = crate::introspection::parse_interfaces(text)
                .unwrap()
                .remove(0);
            for method in &interface.shape.methods {
                let inputs = method.inputs.iter().map(|it| &it.signature);
                let outputs = method.outputs.iter().map(|it| &it.signature);
                let wanted = of_arguments("In", inputs).chain(of_arguments("Out", outputs));
                said(&method.annotations, wanted.collect(), &method.name);
            }
            for signal in &interface.shape.signals {
                let arguments = signal.arguments.iter().map(|it| &it.signature);
                let wanted = of_arguments("Out", arguments).collect();
                said(&signal.annotations, wanted, &signal.name);
            }
            for property in &interface.shape.properties {
                let wanted = of_property(&property.signature).into_iter().collect();
                said(&property.annotations, wanted, &property.name);
            }
        }
    }

    #[test]
    fn arguments_are_counted_by_direction() {
        let signatures = ["s", "a{sv}", "a{ss}"].map(|it| Signature::try_from(it).unwrap());
        let names: Vec<_> = of_arguments("In", signatures.iter())
            .map(|it| it.name.into_owned())
            .collect();
        assert_eq!(
            names,
            [format!("{TYPE_NAME}.In1"), format!("{TYPE_NAME}.In2")]
        );
    }
}
