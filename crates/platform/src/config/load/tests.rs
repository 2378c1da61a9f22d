//! What settings are taken, which win, and how the others are refused.

use std::io::Write;

use super::*;

fn flags(flags: &[(&str, &str)]) -> Sources {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Sources { flags, ..Sources::default() }
}

fn refusal(sources: &Sources) -> String {
    load(sources).expect_err("refused").to_string()
}

#[test]
fn the_defaults_are_settings() {
    let settings = load(&Sources::default()).expect("the defaults are valid");
    assert_eq!(settings.limits(), cornjacket_domain::Limits::default());
    assert_eq!(settings.group_commit(), cornjacket_ingest::group_commit::Options::default());
}

#[test]
fn flags_win_over_dotenv_and_dotenv_over_the_file() {
    let folder = std::env::temp_dir().join(format!("cornjacket-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("written");
        Some(path)
    };
    let file = write("c.toml", "[bus]\npartitions = 2\nretention_hours = 2\nformat = \"json\"\n");
    let dotenv =
        write(".env", "CORNJACKET__BUS__PARTITIONS=3\nCORNJACKET__BUS__RETENTION_HOURS=3\nOTHER=x\n");
    let settings = load(&Sources { file, dotenv, ..flags(&[("bus.partitions", "4")]) }).expect("valid");
    assert_eq!((settings.bus.partitions, settings.bus.retention_hours), (4, 3));
    assert_eq!(settings.bus.format, super::super::settings::RecordFormat::Json);
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn an_unknown_key_is_refused_and_the_nearest_named() {
    assert_eq!(
        refusal(&flags(&[("stroe.url", "x")])),
        "unknown setting \"stroe.url\"; did you mean \"store.url\"?"
    );
    assert!(refusal(&flags(&[("zzz", "x")])).contains("unknown setting \"zzz\""));
}

#[test]
fn what_has_a_wrong_type_names_its_source_and_what_is_wanted() {
    for (setting, told) in [
        (
            ("inference.count_events", "x"),
            "inference.count_events (--set inference.count_events): is \"x\", and wanted is a list",
        ),
        (
            ("bus.partitions", "many"),
            "bus.partitions (--set bus.partitions): is \"many\", and wanted is a whole number from 0 to 65535",
        ),
        (
            ("bus.partitions", "70000"),
            "bus.partitions (--set bus.partitions): is 70000, and wanted is a whole number from 0 to 65535",
        ),
        (("bus.format", "xml"), "bus.format (--set bus.format): is \"xml\", and wanted is one of "),
        (
            ("ingest.listen", "8080"),
            "ingest.listen (--set ingest.listen): is 8080, and wanted is an address with a port",
        ),
        (("ingest.listen", "here"), "ingest.listen (--set ingest.listen): is \"here\": "),
        (
            ("auth.secret", "4711"),
            "auth.secret (--set auth.secret): is what is not shown, and wanted is a text",
        ),
        (
            (
                "inference.forecasts",
                r#"[{name = "a", upper = 1.0, horizon_seconds = 60}, {name = "b", upper = 1.0}]"#,
            ),
            "inference.forecasts[1].horizon_seconds (--set inference.forecasts): is missing",
        ),
        (
            ("inference.models", r#"[{name = "a", detector = "threshold", upper = 1.0}]"#),
            "inference.models[0].upper (--set inference.models): is no setting; here are name, detector",
        ),
    ] {
        let refused = refusal(&flags(&[setting]));
        assert!(refused.starts_with(told), "{refused}");
        for rust in ["u16", "struct", "sequence", ".rs"] {
            assert!(!refused.contains(rust), "{refused}");
        }
    }
}

#[test]
fn the_strongest_source_of_a_setting_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
        Some(folder.path().join(name))
    };
    let file =
        path("c.toml", "[bus]\npartitions = \"many\"\n[[inference.forecasts]]\nname = \"a\"\nupper = 1.0\n");
    let told = refusal(&Sources { file: file.clone(), ..flags(&[("inference.forecasts", "[]")]) });
    assert!(told.contains("c.toml): is \"many\""), "{told}");
    let told = refusal(&Sources { file: file.clone(), ..flags(&[("bus.partitions", "1")]) });
    assert!(
        told.starts_with("inference.forecasts[0].horizon_seconds (") && told.contains("c.toml"),
        "{told}"
    );
    let dotenv = path(".env", "CORNJACKET__BUS__PARTITIONS=some\n");
    let told = refusal(&Sources { file, dotenv, ..flags(&[("inference.forecasts", "[]")]) });
    assert!(told.contains(".env): is \"some\""), "{told}");
}

#[test]
fn a_bad_value_is_refused_and_the_setting_named() {
    assert!(refusal(&flags(&[("bus.partitions", "many")])).contains("bus.partitions"));
    assert!(refusal(&flags(&[("bus.partitions", "0")])).contains("bus.partitions"));
    assert!(refusal(&flags(&[("bus.url", "rabbit://x")])).contains("bus.url"));
    assert!(refusal(&flags(&[("ingest.listen", "8080")])).contains("ingest.listen"));
    let mixed = flags(&[("store.url", "sqlite:///x"), ("bus.url", "kafka://h:1")]);
    assert!(refusal(&mixed).contains("bus.url"));
}
