//! The configuration as operators meet it.

mod kafka;

use super::mistake::Mistake;
use super::*;

const NO_FLAGS: Flags = Flags {
    config: None,
    listen: None,
    data_dir: None,
};

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let owned = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    pairs.iter().map(owned).collect()
}

/// With a file of this text and an environment.
fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lakechat.toml");
    std::fs::write(&path, text).expect("written");
    let flags = Flags {
        config: Some(path),
        ..NO_FLAGS
    };
    load_from(&flags, variables(env))
}

fn good(text: &str, env: &[(&str, &str)]) -> Config {
    match load_text(text, env) {
        Ok(loaded) => loaded.config,
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// The mistakes, each with file names shortened to `FILE`.
fn mistakes(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let ConfigErrors(mistakes) = load_text(text, env).expect_err("there are mistakes");
    let shorten = |mistake: &Mistake| {
        let text = mistake.to_string();
        match (text.find("/"), text.find("lakechat.toml")) {
            (Some(from), Some(to)) => {
                let to = to + "lakechat.toml".len();
                format!("{}FILE{}", &text[..from], &text[to..])
            }
            _ => text,
        }
    };
    mistakes.iter().map(shorten).collect()
}

#[test]
fn nothing_at_all_is_a_good_configuration() {
    let config = load_from(&NO_FLAGS, []).expect("defaults are good").config;
    assert_eq!(config.mode, Mode::Embedded);
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        config.secret_file(),
        PathBuf::from("./lakechat-data/lakechat.key")
    );
    assert_eq!(config.limits.sends_per_user, 20);
    assert_eq!(config.files.max_bytes, 10_737_418_240);
    assert!(!config.server_id().as_str().is_empty());
}

#[test]
fn the_file_of_the_protocol_is_read() {
    let config = good(
        r#"
        mode = "embedded"
        listen = "127.0.0.1:8081"
        data_dir = "/srv/lakechat"
        [server]
        id = "a"
        public_url = "https://chat.example"
        allowed_origins = ["https://other.example"]
        allowed_hosts = ["chat.intranet"]
        trusted_proxies = ["127.0.0.1/32"]
        metrics_listen = "127.0.0.1:9100"
        [auth]
        secret_file = "other.key"
        [files]
        max_bytes = 1000000
        [limits]
        sends_per_user = 0
        "#,
        &[],
    );
    assert_eq!(config.listen.port(), 8081);
    assert_eq!(config.server_id().as_str(), "a");
    let url = config.server.public_url.expect("given");
    assert_eq!(url.join("/x"), "https://chat.example/x");
    assert_eq!(config.server.allowed_origins.len(), 1);
    assert_eq!(config.server.allowed_hosts[0].as_str(), "chat.intranet");
    assert_eq!(config.server.trusted_proxies.len(), 1);
    assert_eq!(config.auth.secret_file, Some(PathBuf::from("other.key")));
    assert_eq!(config.limits.sends_per_user, 0);
}

#[test]
fn who_may_register_depends_on_the_address_unless_it_is_set() {
    use super::Registration::{Closed, Invite, Open};
    for (listen, expected) in [
        ("127.0.0.1:1", Open),
        ("127.1.2.3:1", Open),
        ("[::1]:1", Open),
        ("[::ffff:127.0.0.1]:1", Open),
        ("0.0.0.0:1", Closed),
        ("[::]:1", Closed),
        ("192.0.2.1:1", Closed),
    ] {
        let config = good("", &[("LAKECHAT_LISTEN", listen)]);
        assert_eq!(config.registration(), expected, "{listen}");
        for (text, set) in [("open", Open), ("invite", Invite), ("closed", Closed)] {
            let env = [
                ("LAKECHAT_LISTEN", listen),
                ("LAKECHAT_AUTH__REGISTRATION", text),
            ];
            assert_eq!(good("", &env).registration(), set, "{listen}");
        }
    }
}

#[test]
fn the_environment_stands_over_the_file_and_flags_over_both() {
    let env = [
        ("LAKECHAT_LISTEN", "127.0.0.1:2"),
        ("LAKECHAT_LIMITS__SENDS_PER_USER", "7"),
        ("LAKECHAT_SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ("LAKECHAT_SERVER__PUBLIC_URL", ""),
        ("HOME", "/root"),
    ];
    let file = "listen = \"127.0.0.1:1\"\n[limits]\nsends_per_user = 1\nsends_per_channel = 3";
    let config = good(file, &env);
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.limits.sends_per_user, 7);
    assert_eq!(config.limits.sends_per_channel, 3);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.server.public_url, None);

    let flags = Flags {
        listen: Some("127.0.0.1:3".to_owned()),
        ..NO_FLAGS
    };
    let loaded = load_from(&flags, variables(&env)).expect("good");
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.keys[1].source, Source::Flag("--listen"));
}

#[test]
fn a_number_is_a_text_where_a_text_is_wanted_and_keeps_its_zeros() {
    let config = good("", &[("LAKECHAT_SERVER__ID", "007")]);
    assert_eq!(config.server_id().as_str(), "007");
    assert_eq!(good("[server]\nid = 1", &[]).server_id().as_str(), "1");
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand_and_near_ones_named() {
    let found = mistakes(
        "lisen = \"127.0.0.1:1\"\n[limits]\nsend_per_user = 1\n[server]\nping_ms = 5\n\
         [nonsense]\nx = 1",
        &[
            ("LAKECHAT_LIMITS_SENDS_PER_CHANNEL", "1"),
            ("LAKECHAT_COLOUR", "red"),
        ],
    );
    assert_eq!(
        found,
        [
            "LAKECHAT_COLOUR: there is no such key",
            "limits.send_per_user (FILE): there is no such key; \
             did you mean limits.sends_per_user?",
            "LAKECHAT_LIMITS_SENDS_PER_CHANNEL: there is no such key; \
             did you mean LAKECHAT_LIMITS__SENDS_PER_CHANNEL?",
            "lisen (FILE): there is no such key; did you mean listen?",
            "nonsense.x (FILE): there is no such key",
            "server.ping_ms (FILE): there is no such key; did you mean chat.ping_ms?",
        ]
    );
}

#[test]
fn all_mistakes_come_in_one_message_with_place_and_what_is_allowed() {
    let found = mistakes(
        "limits = 5\n[chat]\nchannels = \"many\"\n[files]\nmax_bytes = -1",
        &[
            ("LAKECHAT_LISTEN", "localhost"),
            ("LAKECHAT_AUTH__ACCESS_TOKEN_SECONDS", "0"),
            ("LAKECHAT_SERVER__PUBLIC_URL", "chat.example"),
            ("LAKECHAT_SERVER__TRUSTED_PROXIES", "10.0.0.0/99"),
        ],
    );
    assert_eq!(
        found,
        [
            "LAKECHAT_LISTEN = \"localhost\": has to be an IP address and a port, such as \
             127.0.0.1:8080 or [::]:8080",
            "LAKECHAT_SERVER__PUBLIC_URL = \"chat.example\": has to be a URL such as \
             https://chat.example or https://example.org/chat, without user, query and fragment",
            "LAKECHAT_SERVER__TRUSTED_PROXIES = \"10.0.0.0/99\": has to be a list, each item an \
             IP address or a network such as 10.0.0.0/8",
            "LAKECHAT_AUTH__ACCESS_TOKEN_SECONDS = \"0\": has to be a whole number from 1 to \
             86,400",
            "files.max_bytes = -1 (FILE): has to be a whole number from 1 to 1,099,511,627,776",
            "chat.channels = \"many\" (FILE): has to be a whole number from 1 to 10,000",
            "limits (FILE): is a section, not a key",
        ]
    );
    let message = load_text("a = 1\nb = 2", &[]).expect_err("two").to_string();
    assert!(
        message.starts_with("The configuration has 2 mistakes:\n"),
        "{message}"
    );
}

#[test]
fn values_are_compared_with_each_other() {
    let found = mistakes(
        "listen = \"127.0.0.1:1\"\n[server]\nmetrics_listen = \"127.0.0.1:1\"\n\
         [chat]\nframe_bytes = 4096\ntext_bytes = 3585\n\
         [files]\nmax_bytes = 10\n[auth]\nrefresh_token_seconds = 899",
        &[],
    );
    let keys = [
        "chat.text_bytes",
        "files.inline",
        "auth.refresh",
        "server.metrics",
    ];
    assert_eq!(found.len(), keys.len(), "{found:?}");
    for (mistake, key) in found.iter().zip(keys) {
        assert!(mistake.starts_with(key), "{mistake}");
    }
    assert!(
        found[0].contains("512 below chat.frame_bytes = 4096"),
        "{}",
        found[0]
    );
    assert!(found[1].contains("65536 (default)"), "{}", found[1]);
    good("[chat]\nframe_bytes = 4096\ntext_bytes = 3584", &[]);
}

#[cfg(not(feature = "cluster"))]
#[test]
fn binary_without_the_cluster_refuses_its_mode_and_still_reads_its_sections() {
    let found = mistakes("mode = \"cluster\"\n[kafka]\nbrokers = \"k:9092\"", &[]);
    assert_eq!(
        found,
        [
            "mode = \"cluster\" (FILE): has to be \"embedded\": this binary was built without the \
             feature `cluster`"
        ]
    );
}

#[test]
fn what_kubernetes_sets_is_ignored() {
    let env = [
        ("LAKECHAT_PORT", "tcp://10.0.0.1:8080"),
        ("LAKECHAT_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("LAKECHAT_SERVICE_HOST", "10.0.0.1"),
        ("LAKECHAT_SERVICE_PORT_HTTP", "8080"),
    ];
    assert_eq!(good("", &env).listen.port(), 8080);

    let of_another = mistakes("", &[("LAKECHAT_DB_SERVICE_HOST", "10.0.0.2")]);
    assert!(
        of_another[0].contains("enableServiceLinks"),
        "{of_another:?}"
    );
}

#[test]
fn the_terminal_clients_password_is_ignored_and_nothing_that_only_looks_like_it() {
    let env = [
        ("LAKECHAT_PASSWORD", "correct horse"),
        ("LAKECHAT_PASSWORD_FILE", "/run/secrets/ann"),
    ];
    assert_eq!(good("", &env).listen.port(), 8080);

    let alike = mistakes("", &[("LAKECHAT_PASSWORDS", "correct horse")]);
    assert!(alike[0].starts_with("LAKECHAT_PASSWORDS: there is no such key"));
}

#[test]
fn a_file_that_is_missing_or_broken_is_a_mistake_beside_others() {
    let broken = mistakes("listen = \n", &[("LAKECHAT_COLOUR", "red")]);
    assert_eq!(broken.len(), 2);
    assert!(
        broken[0].starts_with("FILE: is not TOML: "),
        "{}",
        broken[0]
    );

    let env = [("LAKECHAT_CONFIG", "/nowhere/lakechat.toml")];
    let ConfigErrors(missing) = load_from(&NO_FLAGS, variables(&env)).expect_err("missing");
    let text = missing[0].to_string();
    assert!(text.starts_with("LAKECHAT_CONFIG = \"/nowhere/lakechat.toml\": can't be read"));
}

#[test]
fn the_variable_names_the_file_unless_a_flag_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "listen = \"127.0.0.1:5\"").expect("written");
    let env = [("LAKECHAT_CONFIG", path.to_str().expect("UTF-8"))];
    let loaded = load_from(&NO_FLAGS, variables(&env)).expect("good");
    assert_eq!(loaded.config.listen.port(), 5);
    assert_eq!(good("", &env).listen.port(), 8080);
}

#[test]
fn what_is_printed_says_where_values_come_from_and_reads_back_the_same() {
    let file = "[server]\nallowed_origins = [\"https://a.example\"]";
    let env = [("LAKECHAT_LIMITS__SENDS_PER_USER", "7")];
    let loaded = load_text(file, &env).expect("good");
    let text = to_toml(&loaded.keys, PrintedValues::Effective);
    let line = "sends_per_user = 7  # from LAKECHAT_LIMITS__SENDS_PER_USER; default 20";
    assert!(text.contains(line), "{text}");
    assert!(
        text.contains("listen = \"127.0.0.1:8080\"  # default"),
        "{text}"
    );
    assert!(text.contains("# public_url =  # not given"), "{text}");

    let again = load_text(&text, &[]).expect("what was printed is good");
    assert_eq!(
        format!("{:?}", again.config),
        format!("{:?}", loaded.config)
    );
}

#[test]
fn every_key_is_in_the_printed_sample_with_its_meaning() {
    let loaded = load_from(&NO_FLAGS, []).expect("good");
    let sample = to_toml(&loaded.keys, PrintedValues::Defaults);
    for key in &loaded.keys {
        assert!(sample.contains(&key.variable()), "{}", key.name);
        assert!(key.docs.iter().all(|line| line.starts_with(' ')));
    }
    let again = load_text(&sample, &[]).expect("the sample is good");
    assert_eq!(
        format!("{:?}", again.config),
        format!("{:?}", Config::default())
    );
}
