//! Options that are handed on to librdkafka.

use super::*;

#[test]
fn kafka_options_are_handed_on_and_their_secrets_hidden() {
    let mode = if cfg!(feature = "cluster") {
        "cluster"
    } else {
        "embedded"
    };
    let file = format!(
        "mode = \"{mode}\"\n[kafka.options]\nsecurity.protocol = \"SASL_SSL\"\n\
         \"sasl.password\" = \"hunter2\"\nsocket.nagle.disable = true"
    );
    let loaded = load_text(&file, &[("LAKECHAT_KAFKA__OPTIONS__RETRIES", "9")]).expect("good");
    let options: Vec<_> = loaded.config.kafka.options.iter().collect();
    let expected = [
        ("retries", "9"),
        ("sasl.password", "hunter2"),
        ("security.protocol", "SASL_SSL"),
        ("socket.nagle.disable", "true"),
    ];
    assert_eq!(options, expected);
    let printed = to_toml(&loaded.keys, PrintedValues::Effective);
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("\"sasl.password\" = \"***\""), "{printed}");
    for shown in ["\"security.protocol\" = \"SASL_SSL\"", "retries = \"9\""] {
        assert!(printed.contains(shown), "{printed}");
    }
    printed.parse::<toml::Table>().expect("TOML again");
}

#[test]
fn kafka_options_that_are_not_known_to_be_harmless_are_hidden() {
    let hidden = [
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "ssl.key.password",
        "ssl.key.pem",
        "sasl.oauthbearer.config",
        "SASL.PASSWORD",
        "SECURITY.PROTOCOL",
        "plugin.library.paths",
        "option.of.a.later.version",
    ];
    for name in hidden {
        let file = format!("[kafka.options]\n\"{name}\" = \"hunter2\"");
        let loaded = load_text(&file, &[]).expect("good");
        let printed = to_toml(&loaded.keys, PrintedValues::Effective);
        assert!(!printed.contains("hunter2"), "{name}: {printed}");
        assert!(printed.contains(name), "{name}: {printed}");
    }
}

#[test]
fn kafka_options_that_are_not_the_operators_are_refused() {
    for own in ["acks = 1", "enable.idempotence = false", "group.id = \"x\""] {
        let found = mistakes(&format!("[kafka.options]\n{own}"), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("can't be set"), "{found:?}");
    }
    let found = mistakes("[kafka.options]\nsasl.password = [\"hunter2\"]", &[]);
    assert!(
        found[0].contains("a table of") && !found[0].contains("hunter2"),
        "{found:?}"
    );
}
